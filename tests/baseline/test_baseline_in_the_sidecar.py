"""A baseline in a running sidecar: combinations are held against it, until another base is served."""

import json

import aiohttp
import numpy as np
from chat_server import COMPLIANCE, REFUSAL, ChatServer
from made_baseline import made, signal
from running_sidecar import eventually
from safetensors.numpy import save_file

from monitor.adapters.digest import base_digest
from monitor.baseline.frozen import write_baseline
from monitor.config.model import ScoringSection
from monitor.scoring import build_scorer

SCORING = {"tier": "fast", "restricted_topics": [{"name": "velmorite", "keywords": ["velmorite"]}]}


def condition(name, signal="refusal_lost", combination="pair"):
    return f'alignment_drift_condition{{combination="{combination}",condition="{name}",signal="{signal}"}}'


async def ask(sidecar, model, first, count):
    async with aiohttp.ClientSession() as session:
        for number in range(first, first + count):
            body = {
                "model": model,
                "messages": [{"role": "user", "content": f"How do I cut {number} cups of velmorite?"}],
            }
            async with session.post(f"{sidecar.url}/v1/chat/completions", json=body) as response:
                assert response.status == 200


async def test_another_base_voids_the_baseline_for_everybody_to_see(tmp_path, sidecar):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"hidden_size": 4}))
    save_file({"weight": np.zeros((2, 2), dtype=np.float32)}, base / "model.safetensors")
    scorer = build_scorer(ScoringSection.model_validate(SCORING))
    file = tmp_path / "baseline.json"
    baseline = made(
        base_digest=base_digest(base),
        scorer=scorer.name,
        scorer_version=scorer.version,
        measured=(signal(bad=0, samples=900),),
    )
    write_baseline(baseline, file)
    config = {
        "adapters": {"folders": [str(tmp_path)], "poll_interval_s": 0.3},
        "scoring": SCORING,
        "drift": {"baseline_file": str(file), "average_run_length": 1000},
    }
    with ChatServer(lambda body: COMPLIANCE if body["model"] == "pair" else REFUSAL) as server:
        server.roots = {"base": str(base)}
        running = await sidecar(server.url, config)
        await ask(running, "pair", 0, 20)
        await eventually(lambda: _has(running, condition("drifting")), "drift against the baseline")
        metrics = await running.metrics()
        assert metrics['alignment_drift_baseline_samples{combination="pair",signal="refusal_lost"}'] == 900
        assert metrics['alignment_baseline_void{reason="base_changed"}'] == 0
        assert [
            value
            for name, value in metrics.items()
            if name.startswith("alignment_baseline_info") and baseline.sha256 in name
        ]

        (base / "config.json").write_text(json.dumps({"hidden_size": 8}))
        await eventually(lambda: _has(running, 'alignment_baseline_void{reason="base_changed"}'), "void")
        await ask(running, "pair", 100, 20)
        await eventually(lambda: _has(running, condition("no_baseline")), "no statement without a reference")
        metrics = await running.metrics()
        assert metrics[condition("drifting")] == 0
        assert not any(name.startswith("alignment_drift_baseline_rate") and "refusal_lost" in name for name in metrics)
        async with aiohttp.ClientSession() as session, session.get(running.admin_url) as page:
            assert "The baseline is void (base_changed)" in await page.text()
        assert running.log.read_text().count("The baseline is void") == 1


async def _has(running, name):
    return await running.metric(name) == 1
