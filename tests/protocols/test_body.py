from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.protocols.body import MAX_DECODED_BYTES, DecodeError, plain_body


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (b"hello", ""),
        (b"hello", "identity"),
        (gzip.compress(b"hello"), "gzip"),
        (gzip.compress(b"hello"), "x-gzip"),
        (gzip.compress(b"he") + gzip.compress(b"llo"), "gzip"),
        (zlib.compress(b"hello"), "deflate"),
        (bare_deflate(b"hello"), "deflate"),
    ],
)
def test_codings_are_undone(packed: bytes, encoding: str) -> None:
    assert plain_body(packed, encoding) == b"hello"


def test_a_cut_body_gives_what_can_be_read() -> None:
    text = bytes(range(256)) * 64
    packed = gzip.compress(text)
    assert text.startswith(plain_body(packed[: len(packed) // 2], "gzip"))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"x", "br"), (b"x", "zstd"), (b"not gzip", "gzip"), (b"\xff\xff", "deflate"), (b"x", "gzip, br")],
)
def test_what_cannot_be_undone_has_a_reason(body: bytes, encoding: str) -> None:
    with pytest.raises(DecodeError) as caught:
        plain_body(body, encoding)
    assert caught.value.reason == "encoding"


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(MAX_DECODED_BYTES + 1))
    assert len(bomb) < 32 * 1024
    with pytest.raises(DecodeError) as caught:
        plain_body(bomb, "gzip")
    assert caught.value.reason == "too_large"


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate"]))
def test_arbitrary_bytes_are_read_or_refused(body: bytes, encoding: str) -> None:
    try:
        found: bytes | str = plain_body(body, encoding)
    except DecodeError as error:
        found = error.reason
    assert found == "encoding" or isinstance(found, bytes)
