"""Shortens a stream before it is parsed: events that differ in nothing but one piece of their text become one event.

A server sends hundreds of events that repeat all but a word. All of them begin with the same bytes and end with the same
bytes; the words between, put together inside one such event, are read by a parser in a fraction of the time. Only an
unbroken row is joined, and only pieces in which nothing closes the value, so what is read is the same. Where the joined
event cannot be read, neither could all of its parts: then each is read by itself.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PIECE: Final = re.compile(
    rb'"(?:content|text|delta|reasoning|reasoning_content|thinking|refusal|arguments|partial_json)":"((?:[^"\\]++|\\.)*+)"'
    rb'|"token_ids":\[([0-9,]+)\]'
)
"""The fields that come in pieces: a decoder puts them together, or does not look into them."""
_NUMBER: Final = re.compile(rb'"sequence_number":[0-9]+,')
"""Differs in every event of /v1/responses, and is read by nobody."""
_LOOKS: Final = (1, 4, 7)
"""Eighths of a stream at which an event is taken for a pattern: thinking, answer and calls each have their own."""
_FEWEST: Final = 8
_LONGEST: Final = 4096


class _Pattern(NamedTuple):
    """An event without its piece of text."""

    before: bytes
    behind: bytes
    joint: bytes
    """What stands between two pieces inside one value: nothing in a string, a comma in a list."""

    def is_of(self, event: bytes) -> bool:
        """The event begins and ends like this."""
        return event.startswith(self.before) and event.endswith(self.behind)

    def fits(self, pieces: list[bytes]) -> bool:
        """Each of these is a piece and no more: nothing in it closes the value."""
        if self.joint:
            return b"]".join(pieces).translate(None, b"0123456789,") == b"]" * (len(pieces) - 1)
        marked = b'"'.join(pieces)
        if b"\\" in marked:
            marked = marked.replace(rb"\\", b"").replace(rb"\"", b"")
        return marked.count(b'"') == len(pieces) - 1


def merged(events: list[bytes]) -> list[bytes]:
    """The same events, fewer of them; each is JSON on one line."""
    if events and b'"sequence_number":' in events[len(events) // 2]:
        events = _NUMBER.sub(b"", b"\n".join(events)).split(b"\n")
    for eighth in _LOOKS:
        if len(events) < _FEWEST:
            break
        at = len(events) * eighth // 8
        pattern = _pattern(events[at])
        if pattern and (pattern.is_of(events[at - 1]) or pattern.is_of(events[(at + 1) % len(events)])):
            events = _join(events, pattern)
    return events


def _pattern(event: bytes) -> _Pattern | None:
    """The event as a pattern; None when it has no text, or text in two places, of which only one could be joined."""
    if len(event) > _LONGEST:
        return None
    found = [match for match in _PIECE.finditer(event) if match.group(1) or match.group(2)]
    if len(found) != 1:
        return None
    is_list = found[0].group(1) is None
    first, last = found[0].span(2 if is_list else 1)
    return _Pattern(event[:first], event[last:], b"," if is_list else b"")


def _join(events: list[bytes], pattern: _Pattern) -> list[bytes]:
    """The events with those of this pattern as one; unchanged where they are not one unbroken row."""
    before, behind, joint = pattern
    pieces = [event.removeprefix(before).removesuffix(behind) for event in events]
    cut = len(before) + len(behind)
    begin, end = 0, len(events)
    while begin < end and len(events[begin]) != len(pieces[begin]) + cut:
        begin += 1
    while begin < end and len(events[end - 1]) != len(pieces[end - 1]) + cut:
        end -= 1
    row = pieces[begin:end]
    if len(row) < 2 or sum(map(len, events[begin:end])) != sum(map(len, row)) + cut * len(row) or not pattern.fits(row):
        return events
    return [*events[:begin], before + joint.join(row) + behind, *events[end:]]
