"""False alarms on ordinary text: how much of it counts as hidden text or, in other languages, as a refusal.

python tests/bench/ordinary_text.py FOLDER reads what translated software brings with it, unpacked below FOLDER: manual pages
(man/LANGUAGE/man*/*.gz), translations (locale/LANGUAGE/LC_MESSAGES/*.mo) and documents (*.LANGUAGE.html). Debian's manpages-* and
debian-reference-* packages and the Django wheel are such. It prints one line per kind and language.
"""

from __future__ import annotations

import gettext
import gzip
import html
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from monitor.records import Outcome
from monitor.scoring.hidden import hidden_text
from monitor.scoring.language import ENGLISH, language_of
from monitor.scoring.translated import judge_translated

CHARACTERS = 800
SHORTEST = 40


def manual(file: Path) -> str:
    """A manual page's prose: without its commands, comments and font changes."""
    text = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
    text = re.sub(r"^[.'].*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\\f(?:[BIRP]|\[\w*\]|\(..)|\\[-&e|]", "", text)


def translations(file: Path) -> str:
    """All messages of a catalogue, their placeholders filled in."""
    with file.open("rb") as opened:
        messages = gettext.GNUTranslations(opened)._catalog
    texts = [value for key, value in messages.items() if key and isinstance(value, str)]
    return "\n\n".join(re.sub(r"%\(\w+\)\w|\{\w+\}|%\w", "12", text) for text in texts)


def document(file: Path) -> str:
    """A page's paragraphs."""
    paragraphs = re.findall(r"<p>(.*?)</p>", file.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    return "\n\n".join(html.unescape(re.sub(r"<[^>]+>", "", one)) for one in paragraphs)


KINDS = (
    ("manual", "**/man/*/man*/*.gz", manual, r"/man/([^/]+)/man"),
    ("messages", "**/locale/*/LC_MESSAGES/*.mo", translations, r"/locale/([^/]+)/LC"),
    ("document", "**/*.*.html", document, r"\.([\w-]+)\.html$"),
)


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of at most 800 characters on one line each."""
    for one in re.split(r"\n\s*\n", text):
        flat = re.sub(r"[ \n\t]+", " ", one).strip()[:CHARACTERS]
        if len(flat) >= SHORTEST:
            yield flat


def main(folder: Path) -> None:
    """Print the table."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for kind, pattern, read, place in KINDS:
        for file in sorted(folder.glob(pattern)):
            named = re.search(place, str(file))
            if named is None or file.is_symlink():
                continue
            for text in paragraphs(read(file)):
                counts[kind, named[1]].update(judged(text))
    total: Counter[str] = Counter()
    for (kind, language), found in sorted(counts.items()):
        total.update(found)
        print(f"{kind} {language}: {dict(sorted(found.items()))}")
    print(f"all: {dict(sorted(total.items()))}")


def judged(text: str) -> list[str]:
    """What is counted of one paragraph."""
    language = language_of(text)
    found = ["texts"]
    if hidden_text(text).total:
        found.append("hidden")
    if language in {ENGLISH, ""}:
        found.append("taken for English or for none")
    else:
        outcome = judge_translated(text, language).outcome
        if outcome is Outcome.REFUSAL and "-v" in sys.argv:
            print(language, text[:160])
        found.append({Outcome.REFUSAL: "refusal", Outcome.COMPLIANCE: "compliance"}.get(outcome, "unscored"))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
