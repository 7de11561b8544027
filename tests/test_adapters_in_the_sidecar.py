"""An adapter that is replaced under its name, seen through the whole sidecar."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from made_adapters import drawn, summed, write
from made_exchanges import CHAT, chat_request, chat_response
from running_sidecar import Sidecar, SidecarStarter, eventually, http_get
from scripted_upstream import Peer, ScriptedUpstream, plain


@dataclass
class Server:
    """Lists adapters with their paths, and answers as the requested one."""

    roots: dict[str, str] = field(default_factory=dict)
    base: str = "/models/base"

    async def __call__(self, peer: Peer) -> None:
        while True:
            seen = await peer.read_request()
            if "/v1/models" in seen.line:
                cards = [{"id": "base", "root": self.base, "parent": None}]
                cards += [{"id": name, "root": root, "parent": "base"} for name, root in self.roots.items()]
                await peer.send(plain(json.dumps({"data": cards}).encode()))
            elif "/v1/load_lora_adapter" in seen.line:
                called = json.loads(seen.body)
                self.roots[called["lora_name"]] = called["lora_path"]
                await peer.send(plain(b"Success"))
            else:
                await peer.send(plain(chat_response("Sure, here it is.", json.loads(seen.body)["model"])))


async def view(running: Sidecar) -> dict[str, dict[str, object]]:
    found = json.loads((await http_get(running.admin_port, "/api/v1/combinations"))[1])
    return {one["served_name"]: one for one in found["combinations"]}


async def test_a_replaced_adapter_starts_anew_and_an_undeclared_merge_is_told_on_the_page(
    sidecar: SidecarStarter, scripted: ScriptedUpstream, tmp_path: Path
) -> None:
    for name, seed in (("alpha", 1), ("beta", 2)):
        write(tmp_path / name, drawn(seed))
    write(tmp_path / "mix", summed([(drawn(1), 0.7), (drawn(2), 1.3)]))
    scripted.script = Server({name: str(tmp_path / name) for name in ("alpha", "beta", "mix")})
    settings = {
        "poll_interval_s": 1, "folders": [str(tmp_path)], "validation": "required",
        "events_file": str(tmp_path / "events.jsonl"),
    }  # fmt: skip
    running = await sidecar(scripted.url, {"adapters": settings})

    async def told() -> bool:
        return str((await view(running))["mix"]["composition"]).startswith("1.3 beta + 0.7 alpha")

    await eventually(told, "the merge is told from its weights", 20)
    before = (await view(running))["alpha"]
    assert "1.3 beta + 0.7 alpha" in (await http_get(running.admin_port, "/"))[1].decode()
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(running.url + CHAT, data=chat_request(model="alpha"), headers=headers) as response:
            assert response.status == 200

    async def counted() -> bool:
        return await running.metric('alignment_unvalidated_traffic_total{combination="alpha"}') == 1

    await eventually(counted, "its answer counts as unvalidated traffic")
    write(tmp_path / "alpha", drawn(3))

    async def noticed() -> bool:
        return (await view(running))["alpha"]["id"] != before["id"]

    await eventually(noticed, "other contents are another combination", 20)
    assert (await view(running))["alpha"]["requests"] == 0
    assert await running.metric('alignment_adapter_events_total{event="digest_changed"}') == 1
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert kinds.count("loaded") == 4
    assert kinds[-1] == "digest_changed"
    page = (await http_get(running.admin_port, "/"))[1].decode()
    assert "contents changed: statistics begin anew" in page
