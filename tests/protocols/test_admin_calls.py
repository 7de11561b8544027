"""Which adapter an admin call is about."""

from __future__ import annotations

import gzip

import pytest
from made_exchanges import exchange

from monitor.protocols import adapter_named


@pytest.mark.parametrize(
    ("body", "encoding", "name"),
    [
        (b'{"lora_name": "support", "lora_path": "/a"}', "", "support"),
        (b'{"name": "support", "src": "/a"}', "", "support"),
        (gzip.compress(b'{"lora_name": "support"}'), "gzip", "support"),
        (b'{"lora_path": "/a"}', "", ""),
        (b'{"lora_name": [3]}', "", ""),
        (b"not json", "", ""),
        (b"", "", ""),
    ],
)
def test_the_bodys_name_is_read_or_there_is_none(body: bytes, encoding: str, name: str) -> None:
    call = exchange(target="/v1/load_lora_adapter", request=body, request_encoding=encoding)
    assert adapter_named(call) == name
