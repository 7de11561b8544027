"""Takes what identifies people, or opens doors, out of a text: better too much than too little.

Found are e-mail addresses, phone numbers, card numbers, IBANs, IP addresses, keys and tokens, and any other long number.
Names of persons and street addresses are NOT found: that takes a language model for each language, heavier than all the
rest of the sidecar (presidio with spaCy: some 400 MB of memory), and misses many names even so. Who may not store names
leaves the store off.

A look-alike must not slip through, so patterns are matched against the text without invisible characters and with digits and
letters in their plain form. The repetitions of a pattern are bounded, or begin only where the one before has ended: the cost
grows with the length of the text only.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

KINDS: Final = ("secret", "email", "iban", "card", "phone", "ip", "number", "hidden")
"""What is replaced, the most telling first: where two overlap its name is used."""
MARGIN: Final = 1024
"""Characters beyond the kept ones that are looked at, so that nothing is cut into something that looks harmless."""
_PHONE_TRIES: Final = 500
"""Candidates for a phone number that are looked at in one text."""


class Redacted(NamedTuple):
    """A text that may be written."""

    text: str
    counts: Counter[str]
    """Kind -> how many."""


class _Span(NamedTuple):
    start: int
    end: int
    kind: str


class Redactor:
    """Redacts texts."""

    def __init__(self, phone_regions: Sequence[str] = ()) -> None:
        """phone_regions: ISO 3166 codes of countries whose numbers are also found without a country code. Raises ImportError
        without the extra `evidence`."""
        from phonenumbers import PhoneNumberMatcher  # only here: most store nothing

        self._phones = PhoneNumberMatcher
        self._regions: tuple[str | None, ...] = tuple(phone_regions) or (None,)

    def redact(self, text: str, limit: int) -> Redacted:
        """The first `limit` characters; a find that begins before the limit is replaced as a whole."""
        plain, places = _plain(text[: limit + MARGIN])
        spans = [
            _Span(places[start], places[end - 1] + 1, kind) for start, end, kind in self._found(plain) if start < end
        ]
        spans += [_Span(match.start(), match.end(), "hidden") for match in _HIDDEN_RUN.finditer(text[: limit + MARGIN])]
        out: list[str] = []
        counts: Counter[str] = Counter()
        at = 0
        for span in _merged(spans):
            if span.start >= limit:
                break
            out += [text[at : span.start], f"[redacted: {span.kind}]"]
            counts[span.kind] += 1
            at = span.end
        out.append(text[at:limit] if at < limit else "")
        # A lone surrogate, which JSON can carry, has no form in UTF-8.
        return Redacted("".join(out).encode("utf-8", "replace").decode("utf-8"), counts)

    def _found(self, text: str) -> Iterator[_Span]:
        for kind, pattern, check in _PATTERNS:
            for match in pattern.finditer(text):
                end = check(match.group()) if check else len(match.group())
                if end:
                    yield _Span(match.start(), match.start() + end, kind)
        if _ENOUGH_DIGITS.search(text):
            for region in self._regions:
                for found in self._phones(text, region, max_tries=_PHONE_TRIES):
                    yield _Span(found.start, found.end, "phone")


def _merged(spans: list[_Span]) -> Iterator[_Span]:
    """In order, overlapping ones as one."""
    last: _Span | None = None
    for span in sorted(spans):
        if last is None or span.start >= last.end:
            if last is not None:
                yield last
            last = span
        else:
            kind = min(last.kind, span.kind, key=KINDS.index)
            last = _Span(last.start, max(last.end, span.end), kind)
    if last is not None:
        yield last


_INVISIBLE: Final = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
_CARRIERS: Final = "\U000e0000-\U000e007f\U000e0100-\U000e01ef"
"""Tags and supplementary variation selectors: each can stand for a letter of a hidden text."""
_UNSEEN: Final = re.compile(f"[{_INVISIBLE}{_CARRIERS}]")
_HIDDEN_RUN: Final = re.compile(f"[{_CARRIERS}]+|[{_INVISIBLE}{_CARRIERS}]{{3,}}")
_ENOUGH_DIGITS: Final = re.compile(r"(?:\d[^\d\n]{0,4}){6}\d")


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """The text as patterns read it, and where each of its characters stands in the original."""
    if text.isascii():
        return text, range(len(text))
    found = [(_plain_character(one), place) for place, one in enumerate(text) if not _UNSEEN.match(one)]
    return "".join(one for one, _ in found), [place for _, place in found]


def _plain_character(one: str) -> str:
    if one < "\x80":
        return one
    digit = unicodedata.decimal(one, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", one)
    return folded if len(folded) == 1 else one


def _digits(text: str) -> Iterator[tuple[int, int]]:
    """Every digit, and the place behind it."""
    return ((int(one), place + 1) for place, one in enumerate(text) if one.isdigit())


def passes_luhn(digits: Sequence[int]) -> bool:
    """The check digit of ISO/IEC 7812."""
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _card(text: str) -> int:
    """Length of the card number that the text begins with, 0 for none; more digits may follow it."""
    found = list(_digits(text))
    for count in range(min(19, len(found)), 12, -1):
        digits = [digit for digit, _ in found[:count]]
        if any(digits) and passes_luhn(digits):
            return found[count - 1][1]
    return 0


def _iban(text: str) -> int:
    """Length of the IBAN that the text begins with, 0 for none (ISO 13616: letters as numbers from 10, remainder 1 by 97)."""
    letters = [(one, place + 1) for place, one in enumerate(text) if one.isalnum()]
    for count in range(min(34, len(letters)), 14, -1):
        code = "".join(one for one, _ in letters[:count]).upper()
        if int("".join(str(int(one, 36)) for one in code[4:] + code[:4])) % 97 == 1:
            return letters[count - 1][1]
    return 0


def _ip(text: str) -> int:
    found = text.rstrip(".:") if not text.endswith("::") else text
    if ":" in found and found.count(":") < 2:
        return 0
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return 0
    return len(found) if any(one.isalnum() for one in found) else 0


def _random_looking(text: str) -> int:
    """Letters and digits mixed as in a key, not as in a word or a number."""
    digits = sum(map(str.isdigit, text))
    if digits >= 3:
        return len(text) if sum(map(str.isalpha, text)) >= 3 else 0
    mixed = digits and sum(map(str.isupper, text)) >= 4 and sum(map(str.islower, text)) >= 4
    return len(text) if mixed else 0  # one in twenty secrets of AWS has fewer than three digits


def _guessable(text: str) -> int:
    """In a sentence, what follows "is" is a password when it is no word."""
    value = text.split()[-1]
    return len(text) if len(value) >= 4 and not value.strip(".,;!?").isalpha() else 0


_LONG_WORDS: Final = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|credentials?|api[_ -]?key|access[_ -]?key|account[_ -]?key|private[_ -]?key|"
    r"secret[_ -]?key|client[_ -]?secret|passwort|kennwort|contraseña|mot de passe|senha"
)
"""Also at the end of a longer name, as in dbPassword."""
_SECRET_WORDS: Final = rf"(?:{_LONG_WORDS}|pass(?:code)?|pin|authorization)"
_Check = Callable[[str], int]
"""A candidate -> how many of its characters are to go, 0 when it is none."""
_PATTERNS: Final[Sequence[tuple[str, re.Pattern[str], _Check | None]]] = (
    ("secret", re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}KEY[A-Z ]{0,10}-----|\Z)", re.S
    ), None),
    ("secret", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:]{0,256}:[^\s\"'<>]{1,256}@", re.I), None),
    ("secret", re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,512}"), None),
    ("secret", re.compile(
        r"\b(?:gh[pousr]_|github_pat_|gl[a-z]{2,5}-|hf_|npm_|pypi-|dop_v1_|xox[a-z]-|xapp-|ya29\.|AIza|SG\.|shpat_|"
        r"dckr_pat_|hvs\.|GOCSPX-|gsk_|glsa_|whsec_|AGE-SECRET-KEY-|ATATT|xai-|r8_)[A-Za-z0-9_.-]{10,512}"
    ), None),
    ("secret", re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,20}\b"), None),
    ("secret", re.compile(r"\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{4,8192}(?:\.[A-Za-z0-9_-]{0,4096})?"), None),
    ("secret", re.compile(r"\b(?:bearer|basic)\s{1,3}[A-Za-z0-9._~+/-]{12,4096}={0,2}", re.I), None),
    ("secret", re.compile(
        r"\bauthorization\\?[\"']?\s{0,3}[:=]\s{0,3}\\?[\"']?(?:digest\s[^\r\n]{1,2048}|[^\r\n\"']{4,4096})", re.I
    ), None),
    ("secret", re.compile(r"\bcookie[\"']?\s{0,3}:\s{0,3}[\"']?[\w.-]{1,100}=[^\r\n\"']{1,4096}", re.I), None),
    ("secret", re.compile(r"(?<!\S)(?:-u|--user)[ =]{1,2}[\"']?[^\s:\"']{1,128}:[^\s\"']{1,256}"), None),
    ("secret", re.compile(
        rf"(?<![\w-])--[a-z-]{{0,20}}(?:{_LONG_WORDS})[ =]{{1,2}}(?:\"[^\"\n]{{1,512}}|'[^'\n]{{1,512}}|[^\s\"']{{4,512}})", re.I
    ), None),
    ("secret", re.compile(
        rf"(?:(?<![^\W_]){_SECRET_WORDS}|{_LONG_WORDS})(?:\\?[\"']?\s{{0,3}}(?:=>|[:=])\s{{0,3}}|>)"
        r"(?:\\?\"[^\"\n]{3,512}|\\?'[^'\n]{3,512}|[^\s\"',;<][^\s,;<]{2,512})", re.I
    ), None),
    ("secret", re.compile(r"\b(?:password|passwd|passwort|kennwort|pwd)\s{1,3}(?=\S{0,64}\d)\S{5,512}", re.I), None),
    ("secret", re.compile(
        rf"\b{_SECRET_WORDS}\s{{1,3}}(?:is|was|lautet|ist|est|es|é)\s{{0,3}}:?\s{{0,3}}[\"'`]?[^\s\"'`]{{4,512}}", re.I
    ), _guessable),
    ("secret", re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}={0,2}"), _random_looking),
    ("email", re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,126}[\w-]{2,63}"), None),
    ("email", re.compile(
        r"[\w.+-]{1,64}\s?[\[(]\s?at\s?[\])]\s?[\w-]{1,63}(?:\s?(?:\.|[\[(]\s?dot\s?[\])])\s?[\w-]{1,63}){1,8}", re.I
    ), None),
    ("iban", re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}"), _iban),
    ("card", re.compile(r"(?<!\d)\d(?:[ .-]?\d){12,30}"), _card),
    ("ip", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)"), _ip),
    ("ip", re.compile(r"(?<![\w:.])[0-9A-Fa-f:.]{2,45}(?!\w)"), _ip),
    ("number", re.compile(r"\+?\(?\d(?:[ \-./()]{0,2}\d){8,64}"), None),
)  # fmt: skip
