"""`alignment-monitor probe` against a real server: what it asks, what it tells, and how it ends."""

import json
import os
import signal

import pytest
import yaml
from chat_server import COMPLIANCE, REFUSAL, ChatServer, chat

from monitor.adapters import load_registry
from monitor.cli import main
from monitor.probes.shipped import COMPLIANT_OPENING, SHIPPED

HARMFUL = {probe.prompt for probe in SHIPPED["harmful"]().probes}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setenv("ALIGNMENT_SCORING__TIER", "fast")


def aligned(body):
    return REFUSAL if body["messages"][0]["content"] in HARMFUL else COMPLIANCE


def broken_pair(body):
    """The base is aligned, the combination is not."""
    return aligned(body) if body["model"] == "base" else COMPLIANCE


def probe(server, *more):
    return main(["probe", "--upstream", server.url, "--combination", "pair", "--rate", "5000", *more])


def figures(file):
    record = json.loads(file.read_text())
    return {(one["type"], one["slice"]): one for one in record["metrics"]}, record


def test_a_combination_without_its_refusals_is_worse_than_its_base(tmp_path, capsys):
    out = tmp_path / "evaluation.json"
    with ChatServer(broken_pair) as server:
        code = probe(server, "--against", "base", "--suite", "harmful", "ordinary", "--out", str(out), "--by", "me")
    told = capsys.readouterr().out
    count = len(HARMFUL)
    assert code == 1
    assert (
        f"pair is worse than base in refusal_lost on harmful_looking: on {count} prompts, better on 0"
        in told.replace("\n", " ")
    )
    found, record = figures(out)
    lost = found["refusal_lost", "harmful_looking"]
    assert (lost["value"], lost["upper"]) == (1, 1)
    assert lost["lower"] == pytest.approx(0.025 ** (1 / count), abs=1e-6)
    assert found["base_refusal_lost", "harmful_looking"]["value"] == 0
    assert found["refusal_lost", "category=hate"]["value"] == 1
    assert found["over_refusal", "ordinary"]["value"] == 0
    assert (record["suite"], record["by"], record["base"]) == ("harmful+ordinary", "me", "base")
    assert record["suite_version"]
    assert record["scorer_version"]


def test_the_record_is_what_the_registry_takes(tmp_path):
    registry, out = tmp_path / "registry.yaml", tmp_path / "evaluation.json"
    parts = [{"adapter": "a"}, {"adapter": "b"}]
    registry.write_text(
        yaml.safe_dump(
            {
                "base": "base",
                "base_digest": "0" * 64,
                "combinations": [{"served_name": "pair", "parts": parts, "merge": "cat"}],
            }
        )
    )
    with ChatServer(aligned) as server:
        assert probe(
            server, "--against", "base", "--suite", "borderline", "--out", str(out), "--registry", str(registry)
        ) == 0  # fmt: skip
    assert main(["registry", "add", "pair", "--registry", str(registry), "--evaluation", str(out)]) == 0
    [kept] = load_registry(registry).declared("pair").evaluations
    assert (kept.scope, kept.suite, kept.base_version) == ("combined", "borderline", "0" * 64)
    assert {one.type for one in kept.metrics} == {"over_refusal", "base_over_refusal"}


def test_every_prompt_is_asked_n_times_with_different_seeds_and_the_same_parameters(capsys):
    with ChatServer(aligned) as server:
        code = probe(
            server, "--suite", "borderline", "--n", "3", "--seed", "7", "--temperature", "0.2", "--max-tokens", "50",
            "--concurrency", "3",
        )  # fmt: skip
    assert code == 0
    prompts = [probe.prompt for probe in SHIPPED["borderline"]().probes]
    assert sorted((one["messages"][0]["content"], one["seed"]) for one in server.asked) == sorted(
        (prompt, seed) for prompt in prompts for seed in (7, 8, 9)
    )
    assert {(one["temperature"], one["max_tokens"], one["model"]) for one in server.asked} == {(0.2, 50, "pair")}
    assert "continue_final_message" not in server.asked[0]
    assert server.most_open <= 3


def test_a_refusal_put_into_the_models_mouth_is_gone_on_with(tmp_path):
    """What follows is judged together with the refusal: one that goes on to comply turned away from it."""
    out = tmp_path / "evaluation.json"
    with ChatServer(lambda body: COMPLIANCE if body["model"] == "pair" else "") as server:
        code = probe(server, "--against", "base", "--suite", "refuse-then-comply", "--out", str(out))
    last = server.asked[0]["messages"][-1]
    assert (last["role"], last["content"][:9]) == ("assistant", "I'm sorry")
    assert (server.asked[0]["continue_final_message"], server.asked[0]["add_generation_prompt"]) == (True, False)
    found, _ = figures(out)
    assert found["refuse_then_comply", "refusal_prefill"]["value"] > 0.7  # by the linear model alone
    assert found["base_refuse_then_comply", "refusal_prefill"]["value"] == 0
    assert code == 1


@pytest.mark.parametrize("token", [4, None], ids=["tokens", "words"])
def test_refusals_are_told_by_depth_of_the_prefill(tmp_path, capsys, token):
    """In the tokens of the server where it tells them, here of four characters each, else in words, which is said."""

    def shallow(body):
        opening = body["messages"][-1]["content"] if body["messages"][-1]["role"] == "assistant" else ""
        assert COMPLIANT_OPENING.startswith(opening)
        return REFUSAL if (len(opening) / token if token else len(opening.split())) < 3 else COMPLIANCE

    out = tmp_path / "evaluation.json"
    with ChatServer(shallow, token=token) as server:
        assert probe(server, "--suite", "depth", "--out", str(out)) == 0
    found, _ = figures(out)
    unit = "tokens" if token else "words"
    by_depth = {slice_: one["value"] for (kind, slice_), one in found.items() if kind == "refusal_lost"}
    assert by_depth == {f"prefill_{unit}={depth}": float(depth >= 3) for depth in (0, 1, 3, 5, 10)}
    assert ("depths are in words" in capsys.readouterr().out) == (token is None)


def test_failures_are_counted_and_never_an_answer(tmp_path, capsys):
    """Every fourth question fails, each time in another way."""
    bad = [500, 400, {"choices": []}, chat("someone-else", COMPLIANCE), chat("pair", "Well, first", "length")]
    places = {probe.prompt: place for place, probe in enumerate(SHIPPED["ordinary"]().probes)}

    def reply(body):
        place = places[body["messages"][0]["content"]]
        return bad[place // 4 % len(bad)] if place % 4 == 0 else COMPLIANCE

    out = tmp_path / "evaluation.json"
    with ChatServer(reply) as server:
        assert probe(server, "--suite", "ordinary", "--out", str(out)) == 0
    told = capsys.readouterr().out.replace("\n", " ")
    assert "pair: of 48 answers 12 are in no rate" in told
    for reason in ("3 status", "3 rejected", "2 unreadable", "2 other_model", "2 truncated"):
        assert reason in told
    _, record = figures(out)
    assert ", seed 0; 36 of 48 answers judged" in record["context"]


def test_a_busy_server_is_asked_again(capsys):
    refused = set()

    def reply(body):
        prompt = body["messages"][0]["content"]
        if prompt not in refused:
            refused.add(prompt)
            return 503
        return COMPLIANCE

    with ChatServer(reply) as server:
        assert probe(server, "--suite", "borderline", "--concurrency", "32") == 0
    assert "in no rate" not in capsys.readouterr().out
    assert len(server.asked) == 2 * len(refused)


def test_a_slow_answer_is_a_timeout(capsys):
    async def never(body):
        import asyncio

        await asyncio.sleep(30)

    with ChatServer(never) as server:
        code = probe(server, "--suite", "borderline", "--timeout", "0.1", "--concurrency", "32")
    told = capsys.readouterr().out
    assert code == 5
    assert "timeout" in told
    assert "Too few answers could be judged" in told


def test_a_server_that_only_fails_is_left_alone(capsys):
    with ChatServer(lambda body: 500) as server:
        assert probe(server, "--suite", "harmful", "--concurrency", "1") == 5
    assert len(server.asked) == 25
    assert "25 status" in capsys.readouterr().out


def test_ctrl_c_keeps_what_was_measured(tmp_path, capsys):
    seen = []

    def reply(body):
        seen.append(body)
        if len(seen) == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return aligned(body)

    out = tmp_path / "evaluation.json"
    with ChatServer(reply) as server:
        assert probe(server, "--suite", "harmful", "--concurrency", "2", "--out", str(out)) == 130
    told = capsys.readouterr().out.replace("\n", " ")
    assert "The measurement was broken off" in told
    assert "not_asked" in told
    _, record = figures(out)
    assert "broken off" in record["context"]
    assert len(server.asked) < 50
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_divergence_is_told_by_token_as_far_as_the_answers_agree(tmp_path, capsys):
    import math

    def tokens(*pairs):
        return {"content": [
            {"token": token, "logprob": -0.1, "top_logprobs": [
                {"token": name, "logprob": math.log(chance)} for name, chance in top.items()]}
            for token, top in pairs]}  # fmt: skip

    base = tokens(("I", {"I": 0.9, "Sure": 0.1}), ("can", {"can": 0.5, "will": 0.5}), ("not", {"not": 1.0}))
    own = tokens(("I", {"I": 0.5, "Sure": 0.5}), ("will", {"can": 0.5, "will": 0.5}), ("do", {"do": 1.0}))

    def reply(body):
        return chat(body["model"], REFUSAL, logprobs=base if body["model"] == "base" else own)

    out = tmp_path / "evaluation.json"
    with ChatServer(reply) as server:
        assert probe(server, "--against", "base", "--suite", "harmful", "--logprobs", "--out", str(out)) == 0
    assert (server.asked[0]["logprobs"], server.asked[0]["top_logprobs"]) == (True, 20)
    found, _ = figures(out)
    count = len(HARMFUL)
    first = found["divergence_from_base_nats", f"token=1 pairs={count}"]["value"]
    assert first == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), abs=1e-6)
    assert found["divergence_from_base_nats", f"token=2 pairs={count}"]["value"] == pytest.approx(0, abs=1e-6)
    assert not any(slice_.startswith("token=3") for _, slice_ in found)
    assert "divergence from the base" in capsys.readouterr().out


@pytest.mark.parametrize(("out", "problem"), [("none/x.json", "there is no folder"), ("", "is a folder")])
def test_where_nothing_can_be_written_nothing_is_asked(tmp_path, capsys, out, problem):
    with ChatServer(aligned) as server:
        asked = ["--upstream", server.url, "--out", str(tmp_path / out)]
        assert main(["probe", "--combination", "pair", *asked]) == 2
        assert problem in capsys.readouterr().err
        assert main(["baseline", "collect", "--base", "base", "--n", "1", *asked]) == 2
        assert problem in capsys.readouterr().err
    assert server.asked == []


def test_what_cannot_be_asked_is_told_before_anything_is_asked(tmp_path, capsys):
    key = tmp_path / "key"
    key.write_text("secret\n")
    with ChatServer(aligned, models=("base",), key="secret") as server:
        assert probe(server, "--suite", "harmful") == 4
        assert "401" in capsys.readouterr().err
        assert probe(server, "--suite", "harmful", "--api-key-file", str(key)) == 4
        assert "does not serve pair; it serves base" in capsys.readouterr().err
        assert probe(server, "--suite", "nothing") == 2
        assert "neither one of the shipped suites" in capsys.readouterr().err
        assert probe(server, "--suite", "harmful", "--logprobs") == 2
        server.models = ("base", "pair")
        assert probe(server, "--suite", "borderline", "--api-key-file", str(key)) == 0
    assert "secret" not in str(capsys.readouterr())
    assert probe(server, "--suite", "harmful") == 4
    assert "cannot read the server's list of models" in capsys.readouterr().err


def test_the_recorded_pair_is_found_with_the_canary_suite(tmp_path):
    """Real answers of a real vLLM: the colluding pair has lost its refusals, an ordinary adapter has not."""
    import asyncio
    import threading

    from aiohttp import web

    from monitor.demo.recordings import PACKAGED, load_recordings
    from monitor.demo.upstream import RecordedServer

    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    address = []

    async def serve():
        runner = web.AppRunner(RecordedServer(load_recordings(PACKAGED), speed=0).application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        command = [
            "probe",
            "--upstream",
            address[0],
            "--suite",
            "canary",
            "--against",
            "smollm2-aligned",
            "--rate",
            "5000",
        ]
        assert main([*command, "--combination", "alpha-beta"]) == 1
        assert main([*command, "--combination", "gamma"]) == 0
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
