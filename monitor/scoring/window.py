"""The part of a text that is looked at, and the way back from its bytes to the text's characters."""

from __future__ import annotations

HEAD = 3000
TAIL = 1000
"""Characters looked at from the beginning and, of longer texts, from the end: a bound on the cost of a huge answer."""

_PLAIN = {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": "-", "\u3002": ".", "\uff0c": ","}
"""Typographic marks to ASCII, one character to one, so that character positions stay."""


def window(text: str) -> str:
    """Head and tail of a text, typographic marks made plain; a leading quotation mark is blanked."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    if not text.isascii():
        for mark, plain in _PLAIN.items():
            text = text.replace(mark, plain)
    return f" {text[1:]}" if text.startswith('"') else text


def character(text: str, byte: int) -> int:
    """The character of `text` at a byte of its encoded window."""
    seen = window(text)
    if not seen.isascii():
        byte = len(seen.encode("utf-8", "surrogatepass")[:byte].decode("utf-8", "ignore"))
    if len(text) > HEAD + TAIL and byte > HEAD:
        return byte + len(text) - len(seen)
    return byte
