from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.protocols.sse import event_data


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"", []),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b": keep-alive\n\ndata: a\n\n: x\n\n", [b"a"]),
        (b": keep-alive\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"event: x\nid: 7\nretry: 1\ndata: a\n\n", [b"a"]),
        (b"database: a\n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a\n\ndata: cut", [b"a"]),
        (b"data: a\n\ndata: cut\n", [b"a"]),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, data: list[bytes]) -> None:
    assert event_data(stream) == data


@given(
    st.lists(st.binary(max_size=20).filter(lambda data: b"\n" not in data and b"\r" not in data)),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_what_was_sent_comes_out_with_every_line_end(events: list[bytes], newline: bytes) -> None:
    stream = b"".join(b"data: " + data + newline * 2 for data in events)
    assert event_data(stream) == events


@given(st.lists(st.binary(max_size=8).filter(lambda data: not {10, 13} & set(data))), st.integers(0, 200))
def test_a_cut_stream_gives_the_events_before_the_cut(events: list[bytes], at: int) -> None:
    stream = b"".join(b"data: " + data + b"\n\n" for data in events)
    found = event_data(stream[:at])
    assert found == events[: len(found)]


@given(st.binary(max_size=200))
def test_no_bytes_raise(stream: bytes) -> None:
    assert isinstance(event_data(stream), list)
