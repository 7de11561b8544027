"""Server-sent events: from the bytes of a stream to the data of its events."""

from __future__ import annotations


def event_data(stream: bytes) -> list[bytes]:
    """The data of every complete event, in order; comments and other fields are left out.

    An event that the stream's end cuts off before its empty line is not returned (it was not dispatched either).
    Line ends may be LF, CRLF or CR, and an event may have several data lines (WHATWG HTML, 9.2.6).
    """
    if b"\r" in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[bytes] = []
    for block in stream.split(b"\n\n")[:-1]:
        if block.startswith(b"data: ") and b"\n" not in block:
            events.append(block[6:])
            continue
        lines = [_value(line) for line in block.split(b"\n") if line == b"data" or line.startswith(b"data:")]
        if lines:
            events.append(b"\n".join(lines))
    return events


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
