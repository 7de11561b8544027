"""The runbooks, from the files that are shipped with the monitor: at three in the morning the wiki may be down as well."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

_FOLDER: Final = files("monitor.admin") / "runbooks"


@cache
def runbook_names() -> tuple[str, ...]:
    """The alerts that have a runbook."""
    found = _FOLDER.iterdir() if _FOLDER.is_dir() else ()
    return tuple(sorted(one.name.removesuffix(".md") for one in found if one.name.endswith(".md")))


@cache
def runbook(name: str) -> Markup:
    """One of them as HTML. It has no markup but what Markdown makes: HTML in a file stays text."""
    text = (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
    rendered: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return Markup(rendered)  # made from files that are part of the monitor
