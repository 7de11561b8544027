"""The real vLLM that the live tests share: it takes half a minute to start."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from live_lab import CAST, require_vllm
from running_sidecar import free_ports


def _warm_up(url: str, model: str) -> None:
    """The first answer of a server takes many times as long as any other."""
    ask = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(ask).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=240) as reply:
        assert reply.status == 200


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the aligned base and the cast of the lab; tests leave it as they found it."""
    require_vllm()
    from monitor.lab import server

    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with server.start(free_ports(1)[0], served=CAST, log=log, flags=["--enable-scale-out"]) as running:
        _warm_up(running.url, "alpha")
        yield running.url
