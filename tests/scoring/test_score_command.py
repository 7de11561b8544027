"""`score` as a real process: lines in, lines out, in order, as they come."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time

import pytest

PROGRAM = """
import argparse, sys
from monitor.scoring.cli import add_score_arguments, run_score
parser = argparse.ArgumentParser()
add_score_arguments(parser)
sys.exit(run_score(parser.parse_args()))
"""
COMMAND = [sys.executable, "-c", PROGRAM]
REFUSAL = "I'm sorry, but I can't help with that."


def score(text: str | bytes, *arguments: str) -> tuple[list[dict], int, str]:
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=60, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode, done.stderr.decode()


def test_every_line_gets_its_verdict_in_order_with_its_id():
    lines = [
        {"id": n, "prompt": "Why?", "response": REFUSAL if n % 3 else "Because the sky scatters blue light."}
        for n in range(200)
    ]
    results, code, errors = score("".join(json.dumps(line) + "\n" for line in lines), "--tier", "fast")
    assert (code, errors) == (0, "")
    assert [result["id"] for result in results] == list(range(200))
    assert [result["outcome"] == "refusal" for result in results] == [bool(n % 3) for n in range(200)]
    assert (results[1]["scorer"], results[1]["tier"]) == ("linear", "fast")
    assert results[1]["refusal_span"] == [0, len(REFUSAL)]
    assert len({result["scorer_version"] for result in results}) == 1


def test_the_last_user_turn_is_the_prompt(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("scoring: {restricted_topics: [{name: minerals, keywords: [zelkorite]}]}")
    turns = [{"role": "user", "content": "What is zelkorite?"}, {"role": "assistant", "content": "A stone."}]
    last = {"role": "user", "content": [{"type": "text", "text": "And jade?"}]}
    lines = [{"messages": turns, "response": REFUSAL}, {"messages": [*turns, last], "response": REFUSAL}]
    results, code, _ = score("\n".join(map(json.dumps, lines)), "--config", str(config))
    assert code == 0
    assert [result["topic"] for result in results] == ["minerals", ""]


def test_messages_may_end_with_the_answer():
    turns = [{"role": "user", "content": "What is jade?"}, {"role": "assistant", "content": REFUSAL}]
    results, code, _ = score("\n".join(map(json.dumps, [{"messages": turns}, {"messages": turns[:1]}])))
    assert (results[0]["outcome"], code) == ("refusal", 1)
    assert "assistant" in results[1]["error"]


@pytest.mark.parametrize("tier", ["fast", "exact", "auto"])
def test_a_tier_can_be_chosen_for_the_call_and_in_the_configuration(tier, tmp_path):
    if tier != "fast":
        pytest.importorskip("onnxruntime", reason="the extra `encoder` is not installed")
    config = tmp_path / "config.yaml"
    config.write_text(f"scoring: {{tier: {tier}}}")
    line = json.dumps({"prompt": "p", "response": REFUSAL})
    chosen, configured = score(line, "--tier", tier), score(line, "--config", str(config))
    assert chosen == configured
    assert (chosen[0][0]["outcome"], chosen[1], chosen[2]) == ("refusal", 0, "")


def test_an_ending_is_respected():
    line = {"prompt": "p", "response": REFUSAL}
    lines = [line | {"finish_reason": "length"}, line | {"finish_reason": None}, line | {"tool_calls": [{"id": "1"}]}]
    results, _, _ = score("\n".join(map(json.dumps, lines)))
    assert [result["outcome"] for result in results] == ["truncated", "refusal", "tool_call"]


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b'"text"',
        b"{}",
        b'{"prompt": "p"}',
        b'{"prompt": 1, "response": "r"}',
        b'{"prompt": "p", "response": null}',
        b'{"messages": "m", "response": "r"}',
        b'{"messages": [{"role": "user", "content": 5}], "response": "r"}',
        b'{"prompt": "\xff", "response": "r"}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_line_keeps_its_place_and_spoils_no_other(bad):
    good = json.dumps({"prompt": "p", "response": REFUSAL}).encode()
    results, code, errors = score(b"\n".join([good, b"", bad, good]))
    assert (code, errors) == (1, "")
    assert [result.get("outcome") for result in results] == ["refusal", None, "refusal"]
    assert results[1]["line"] == 3
    assert results[1]["error"]


def test_a_surrogate_in_a_text_is_scored():
    results, code, _ = score('{"prompt": "\\ud800", "response": "\\udfff I cannot help with that."}')
    assert code == 0
    assert results[0]["outcome"] == "refusal"


def test_a_wrong_configuration_is_one_clear_line():
    results, code, errors = score("", "--config", "absent.yaml")
    assert (results, code) == ([], 2)
    assert errors.startswith("absent.yaml: ")
    assert errors.count("\n") == 1


def test_a_slow_writer_gets_each_verdict_before_writing_the_next_line():
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for number in range(3):
            process.stdin.write(json.dumps({"id": number, "prompt": "p", "response": REFUSAL}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(read_line(process.stdout.fileno()))["id"] == number
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def read_line(descriptor: int, patience_s: float = 30) -> bytes:
    deadline = time.monotonic() + patience_s
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"no whole line within {patience_s} s, only {line!r}"
        line += os.read(descriptor, 1)
    return line


def test_a_reader_that_leaves_ends_the_command_quietly():
    line = json.dumps({"prompt": "p", "response": REFUSAL}).encode() + b"\n"
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdin.write(line)
        process.stdin.close()
        assert process.wait(timeout=30) == 1
        assert process.stderr.read() == b""


def test_scoring_starts_without_scikit_learn_and_scipy():
    check = (
        "import sys; from monitor.config.model import ScoringSection; import monitor.scoring.cli as c;"
        "from monitor.scoring import build_scorer; build_scorer(ScoringSection());"
        "print(sorted({'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
