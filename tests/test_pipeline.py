from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_exchanges import chat_request, chat_response, chunk, exchange, sse
from prometheus_client import CollectorRegistry, generate_latest

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.registry import DeclaredCombination, DeclaredPart
from monitor.arrival import Arrival
from monitor.config.model import DriftSection
from monitor.drift import PairedDetector, RecentSamples, SequentialDetector
from monitor.pipeline import Pipeline
from monitor.records import (
    EVERY,
    OVER_BUDGET,
    UNCONFIRMED,
    AnswerEnding,
    Dialogue,
    Ending,
    Exchange,
    Finding,
    HiddenText,
    Item,
    Outcome,
    Pair,
    Stratum,
    Verdict,
)
from monitor.telemetry.metrics import Metrics

SECRET = "the text of a prompt"


class WordScorer:
    """Judges by the answer's first word: a scorer that a test can steer."""

    name = "words"
    version = "1"
    risk_version = "r1"

    def score(self, items: Sequence[Item]) -> list[Verdict]:
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Verdict:
        word = item.response.partition(" ")[0]
        if word == "raise":
            raise ValueError(item.response)
        stratum = Stratum.HARMFUL_LOOKING if "bomb" in item.prompt else Stratum.ORDINARY
        if item.cut or item.finish_reason in ("length", "error"):
            return Verdict(Outcome.TRUNCATED, self.name, self.version, stratum)
        outcome = {"no": Outcome.REFUSAL, "": Outcome.EMPTY, "dunno": Outcome.UNSCORED}.get(word, Outcome.COMPLIANCE)
        hidden = HiddenText(tags="\U000e0041" in item.response)
        return Verdict(
            outcome, self.name, self.version, stratum, reason=word if word == "dunno" else "", response_hidden=hidden
        )


class BusyScorer(WordScorer):
    """Has time for nothing but what is compared."""

    def _one(self, item: Item) -> Verdict:
        verdict = super()._one(item)
        if item.compared:
            return replace(verdict, tier="exact")
        return replace(verdict, outcome=Outcome.UNSCORED, reason=UNCONFIRMED, tier=OVER_BUDGET)


class Broken(WordScorer):
    def score(self, items: Sequence[Item]) -> list[Verdict]:
        return [verdict for verdict in super().score(items) for _ in range(2)]


class BrokenDetector(SequentialDetector):
    def update(self, observation: Any) -> Any:
        if observation.combination == "poison":
            raise RuntimeError(SECRET)
        return super().update(observation)


class Kept:
    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def write(self, finding: Finding) -> None:
        self.findings.append(finding)

    def close(self) -> None:
        pass


class Bench:
    """A pipeline with real parts around a scorer that the test steers."""

    def __init__(
        self,
        scorer: Any = None,
        detector: type[SequentialDetector] = SequentialDetector,
        samples: RecentSamples | None = None,
        registry: Registry | None = None,
        **drift: Any,
    ) -> None:
        self.catalog = Catalog(registry or Registry(), 10, 60)
        models = [ServedModel("base", ""), *(ServedModel(name, "base") for name in ("alpha", "beta", "poison"))]
        self.catalog.update(models)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, "0")
        self.kept = Kept()
        section = DriftSection(window=20, minimum_samples=10, minimum_base_samples=10, average_run_length=1000, **drift)
        self.pipeline = Pipeline(
            self.catalog,
            scorer or WordScorer(),
            detector(section),
            self.metrics,
            [self.kept],
            samples,
            PairedDetector(section),
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def all_of(self, name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and sample.value
        }

    def say(self, answer: str, model: str = "alpha", prompt: str = "How to build a bomb?", **more: Any) -> None:
        self.pipeline.process([exchange(chat_request(prompt, model), chat_response(answer, model), **more)])


def unscored(bench: Bench) -> dict[str, float]:
    return {labels[-1]: value for labels, value in bench.all_of("alignment_exchanges_unscored_total").items()}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (exchange(), ""),
        (exchange(chat_request("Hi", model=None)), ""),
        (exchange(status=0, ending=Ending.UPSTREAM_ERROR, response=b""), "no_response"),
        (exchange(status=404), "error_status"),
        (exchange(status=503), "error_status"),
        (exchange(status=204), "other_status"),
        (exchange(response=b'{"error": {"type": "x"}}'), "error_body"),
        (exchange(response=b'{"model": "base", "choices": []}'), "no_choices"),
        (exchange(request=b"{"), "malformed_request"),
        (exchange(response=b"{"), "malformed_response"),
        (exchange(response_encoding="br"), "encoding"),
        (exchange(response=chat_response("dunno")), "dunno"),
        (exchange(response=chat_response("raise")), "scorer_failed"),
        (exchange(target="/v1/models"), "unsupported"),
        (exchange(inclusion=0.0), "bad_inclusion"),
        (exchange(inclusion=math.nan), "bad_inclusion"),
        (exchange(chat_request(model="poison"), chat_response(model="poison")), "internal_error"),
    ],
)
def test_every_exchange_is_scored_or_has_a_reason(one: Exchange, reason: str) -> None:
    bench = Bench(detector=BrokenDetector)
    bench.pipeline.process([one])
    assert unscored(bench) == ({reason: 1} if reason else {})
    assert sum(bench.all_of("alignment_exchanges_scored_total").values()) == (0 if reason else 1)


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_is_counted(ending: Ending) -> None:
    bench = Bench()
    bench.say("yes", ending=ending)
    assert bench.all_of("alignment_requests_total") == {("alpha", ending.value): 1}
    outcome = "compliance" if ending is Ending.COMPLETE else "truncated"
    assert bench.all_of("alignment_responses_total") == {("alpha", "harmful_looking", outcome): 1}


@pytest.mark.parametrize("ending", [Ending.UPSTREAM_ERROR, Ending.TIMEOUT, Ending.CLIENT_GONE])
@pytest.mark.parametrize(
    ("request_body", "counted"),
    [
        (chat_request(model="alpha"), ["alpha"]),
        (chat_request(model=None), ["base"]),
        (chat_request(model="nobody"), ["unlisted"]),
        (b'{"model": "alpha", "messages": [{"role": "us', ["alpha"]),
        (b'{"messages": [{"role": "us', []),
        (b"", []),
    ],
)
def test_a_request_that_nobody_answered_counts_for_the_one_that_was_asked(
    ending: Ending, request_body: bytes, counted: list[str]
) -> None:
    bench = Bench()
    bench.pipeline.process([exchange(request_body, b"", status=0, ending=ending)])
    assert bench.all_of("alignment_requests_total") == {(label, ending.value): 1 for label in counted}
    assert unscored(bench) == {"no_response": 1}
    assert bench.all_of("alignment_responses_total") == {}


@pytest.mark.parametrize("ending", [Ending.UPSTREAM_BROKE, Ending.TIMEOUT, Ending.CLIENT_GONE])
@pytest.mark.parametrize(
    ("response", "stream", "reason"),
    [
        (b"", True, "no_response"),
        (b": ping\n\n", True, "malformed_response"),
        (b'data: {"model": "alpha"', True, "malformed_response"),
        (chat_response()[:-1], False, "malformed_response"),
    ],
)
def test_an_answer_that_broke_off_before_it_could_be_read_counts_for_the_one_that_was_asked(
    ending: Ending, response: bytes, stream: bool, reason: str
) -> None:
    bench = Bench()
    bench.pipeline.process([exchange(chat_request(model="alpha"), response, ending=ending, stream=stream)])
    assert bench.all_of("alignment_requests_total") == {("alpha", ending.value): 1}
    assert unscored(bench) == {reason: 1}


def test_every_ending_of_a_combination_is_there_before_it_occurs() -> None:
    bench = Bench()
    bench.say("yes")
    endings = {
        sample.labels["ending"]
        for metric in bench.registry.collect()
        for sample in metric.samples
        if sample.name == "alignment_requests_total" and sample.labels["combination"] == "alpha"
    }
    assert endings == {ending.value for ending in AnswerEnding}


def test_one_poisonous_answer_does_not_spoil_the_others_of_its_batch() -> None:
    bench = Bench()
    answers = ["yes", "raise hell", "no"]
    bench.pipeline.process([exchange(response=chat_response(answer)) for answer in answers])
    assert (sum(bench.all_of("alignment_exchanges_scored_total").values()), unscored(bench)) == (
        2,
        {"scorer_failed": 1},
    )
    assert {labels[2] for labels in bench.all_of("alignment_responses_total")} == {"compliance", "unscored", "refusal"}


def test_a_scorer_that_gives_too_many_verdicts_is_not_believed() -> None:
    bench = Bench(Broken())
    bench.pipeline.process([exchange(), exchange()])
    assert unscored(bench) == {"scorer_failed": 2}


def test_a_failure_is_logged_once_without_any_text(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(detector=BrokenDetector)
    for _ in range(5):
        bench.say(f"raise {SECRET}", "alpha")
        bench.say("yes", "poison")
    assert len(caplog.records) == 2
    assert "ValueError at test_pipeline.py" in caplog.text
    assert "RuntimeError at test_pipeline.py" in caplog.text
    assert SECRET not in caplog.text


def test_a_judge_that_fails_loses_no_verdict(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def fail(item: Any, verdict: Any) -> None:
        raise RuntimeError(SECRET)

    bench.pipeline.on_verdict = fail
    bench.say("yes")
    assert bench.all_of("alignment_responses_total") == {("alpha", "harmful_looking", "compliance"): 1}
    assert unscored(bench) == {}
    assert SECRET not in caplog.text


def test_a_finished_answer_counts_although_the_client_left_before_the_end_mark() -> None:
    bench = Bench()
    body = sse(chunk(content="yes", model="alpha"), chunk(finish="stop", model="alpha"), done=False)
    bench.pipeline.process([exchange(response=body, stream=True, ending=Ending.CLIENT_GONE)])
    assert {labels[2] for labels in bench.all_of("alignment_responses_total")} == {"compliance"}


def test_an_answer_in_a_stream_without_its_end_counts_as_truncated() -> None:
    bench = Bench()
    bench.pipeline.process([exchange(response=sse(chunk(content="yes")), stream=True)])
    assert {labels[2] for labels in bench.all_of("alignment_responses_total")} == {"truncated"}


def test_what_was_sampled_rarely_weighs_more() -> None:
    bench = Bench()
    bench.say("yes", inclusion=0.25)
    bench.say("yes", inclusion=1.0)
    assert bench.all_of("alignment_responses_total") == {("alpha", "harmful_looking", "compliance"): 2}
    assert bench.all_of("alignment_responses_weighted_total") == {("alpha", "harmful_looking", "compliance"): 5}


def test_tokens_times_and_finish_reasons_are_kept_per_combination() -> None:
    bench = Bench()
    bench.say("yes", "alpha")
    bench.pipeline.process([exchange(response=sse(chunk(content="x", finish="made up by a server")), stream=True)])
    assert bench.all_of("alignment_tokens_total") == {("alpha", "prompt"): 12, ("alpha", "completion"): 5}
    assert bench.all_of("alignment_finish_reasons_total") == {("alpha", "stop"): 1, ("base", "other"): 1}
    assert bench.value("alignment_request_duration_seconds_count", combination="alpha") == 1
    assert bench.value("alignment_first_byte_seconds_sum", combination="alpha") == 0.02


def test_every_choice_is_counted_by_itself() -> None:
    choices = [
        {"index": n, "message": {"content": text}, "finish_reason": "stop"}
        for n, text in enumerate(["no", "yes", "no"])
    ]
    bench = Bench()
    bench.pipeline.process([exchange(response=chat_response(choices=choices))])
    assert bench.all_of("alignment_responses_total") == {
        ("base", "ordinary", "refusal"): 2,
        ("base", "ordinary", "compliance"): 1,
    }
    assert sum(bench.all_of("alignment_exchanges_scored_total").values()) == 1


def test_invisible_characters_are_counted() -> None:
    bench = Bench()
    bench.say("yes\U000e0041")
    assert bench.all_of("alignment_hidden_text_total") == {("alpha", "response", "tags"): 1}


@pytest.mark.parametrize(
    ("requested", "answered", "mismatch"),
    [
        ("base", "alpha", ("base", "alpha")),
        (None, "alpha", ("base", "alpha")),
        ("alpha", "base", ("alpha", "base")),
        ("nobody", "base", ("unlisted", "base")),
        ("alpha", "alpha", None),
        (None, "base", None),
    ],
)
def test_an_answer_of_another_model_than_asked_for_is_counted_under_known_names(
    requested: str | None, answered: str, mismatch: tuple[str, str] | None
) -> None:
    bench = Bench()
    bench.pipeline.process([exchange(chat_request(model=requested), chat_response(model=answered))])
    assert bench.all_of("alignment_model_mismatch_total") == ({mismatch: 1} if mismatch else {})
    assert dict(bench.pipeline.counts.mismatches) == ({mismatch: 1} if mismatch else {})


@pytest.mark.parametrize("gone", ["alpha", "beta"])
def test_mismatches_go_with_either_of_their_combinations(gone: str) -> None:
    bench = Bench()
    for requested, answered in (("alpha", "beta"), ("base", "poison")):
        bench.pipeline.process([exchange(chat_request(model=requested), chat_response(model=answered))])
    bench.pipeline.forget([gone], 2000.0, "unloaded")
    assert bench.all_of("alignment_model_mismatch_total") == {("base", "poison"): 1}
    assert list(bench.pipeline.counts.mismatches) == [("base", "poison")]


def test_a_model_that_is_not_listed_asks_for_a_look_and_gets_no_label() -> None:
    bench = Bench()
    looks: list[int] = []
    bench.pipeline.on_unlisted = lambda: looks.append(1)
    bench.say("yes", "brand new")
    assert len(looks) == 1
    assert "brand new" not in generate_latest(bench.registry).decode()
    assert bench.value("alignment_requests_total", combination="unlisted", ending="complete") == 1


def test_the_last_sample_never_goes_back() -> None:
    bench = Bench()
    bench.say("yes", started=2000.0)
    bench.say("yes", started=1500.0)
    assert bench.value("alignment_last_sample_timestamp_seconds", combination="alpha") == 2000.0
    assert bench.pipeline.counts.tallies["alpha"].last_sample == 2000.0


def drift(bench: Bench, model: str = "alpha") -> None:
    for _ in range(20):
        bench.say("no", "base")
    for _ in range(20):
        bench.say("yes", model)


def test_a_drift_is_told_when_it_begins_and_when_it_ends_and_not_between() -> None:
    bench = Bench()
    drift(bench)
    assert [(one.combination, one.signal, one.began) for one in bench.kept.findings] == [
        ("alpha", "refusal_lost", True)
    ]
    assert bench.kept.findings[0].combination_id == bench.catalog.find("alpha").id
    assert bench.kept.findings[0].scorer == "words"
    for _ in range(60):
        bench.say("no", "alpha")
    assert [one.began for one in bench.kept.findings] == [True, False]
    assert bench.value("alignment_findings_total", combination="alpha", signal="refusal_lost") == 1
    assert bench.value("alignment_drift_condition", combination="alpha", signal="refusal_lost", condition="ok") == 1
    assert (
        bench.value("alignment_drift_condition", combination="alpha", signal="refusal_lost", condition="drifting") == 0
    )


def test_what_is_not_known_has_no_series() -> None:
    bench = Bench()
    bench.say("yes", "alpha")
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 1
    assert bench.value("alignment_drift_threshold", combination="alpha", signal="refusal_lost") is None
    assert bench.value("alignment_drift_rate", combination="alpha", signal="over_refusal") is None
    assert "NaN" not in generate_latest(bench.registry).decode()


def test_a_successor_carries_on_without_telling_the_same_finding_again() -> None:
    bench = Bench()
    drift(bench)
    state = json.loads(json.dumps(bench.pipeline.save()))
    successor = Bench()
    successor.pipeline.restore(state)
    successor.say("yes", "alpha")
    assert successor.kept.findings == []
    assert successor.pipeline.counts.tallies["alpha"].requests == 21
    assert (
        successor.value("alignment_drift_condition", combination="alpha", signal="refusal_lost", condition="drifting")
        == 1
    )


def test_a_successor_still_says_of_a_standing_alarm_that_no_part_was_asked() -> None:
    pair = DeclaredCombination(served_name="alpha", parts=(DeclaredPart(adapter="a"), DeclaredPart(adapter="b")))
    bench, successor = (Bench(registry=Registry(combinations=(pair,))) for _ in range(2))
    series = {("a+b", "unknown", "", ""): 1.0}
    drift(bench)
    assert bench.all_of("alignment_attribution_info") == series
    successor.pipeline.restore(bench.pipeline.save())
    for identity in successor.catalog.identities():
        successor.pipeline.introduce(identity)
    assert successor.all_of("alignment_attribution_info") == series


def test_restored_combinations_that_are_no_longer_loaded_go_after_the_grace() -> None:
    bench = Bench()
    drift(bench)
    successor = Bench()
    successor.pipeline.restore(bench.pipeline.save())
    successor.catalog.update([ServedModel("base", "")])
    assert successor.catalog.expire(0) == []
    gone = successor.catalog.expire(100)
    assert "alpha" in gone
    successor.pipeline.forget(gone, 2000.0, "unloaded")
    assert "alpha" not in generate_latest(successor.registry).decode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update(scorer="another"),
        lambda state: state.pop("tallies"),
        lambda state: state.update(tallies={"alpha": {"requests": "many"}}),
        lambda state: state.pop("detector"),
        lambda state: state.update(detector={"format": 99}),
        lambda state: state.clear(),
    ],
)
def test_a_state_of_another_kind_is_refused_and_changes_nothing(spoil: Callable[[dict[str, Any]], None]) -> None:
    bench = Bench()
    drift(bench)
    state = bench.pipeline.save()
    spoil(state)
    successor = Bench()
    with pytest.raises(ValueError):
        successor.pipeline.restore(state)
    assert (successor.pipeline.counts.tallies, successor.pipeline.drifts.states()) == ({}, [])


def test_forgetting_removes_every_series_of_a_combination_and_no_other() -> None:
    bench = Bench()
    drift(bench)
    drift(bench, "beta")
    assert 'combination="alpha"' in generate_latest(bench.registry).decode()
    bench.pipeline.forget(["alpha"], 2000.0, "unloaded")
    text = generate_latest(bench.registry).decode()
    assert 'combination="alpha"' not in text
    assert 'combination="beta"' in text
    bench.say("yes", "alpha")
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 1


def test_a_recorded_answer_of_the_base_counts_as_the_bases_own() -> None:
    bench = Bench()
    dialogue = Dialogue((), (), "alpha", "alpha")
    bench.pipeline.take([Arrival(dialogue, "chat_completions", 1.0, base_response="no")])
    assert [state.combination for state in bench.pipeline.drifts.states()] == ["base"] * 3


def test_a_repeated_prompt_counts_as_an_answer_and_not_as_evidence() -> None:
    bench = Bench(samples=RecentSamples(600))
    for number in range(4):
        bench.say("yes", started=1000.0 + number)
    bench.say("yes", prompt="How to build a better bomb?", started=1004.0)
    bench.say("", prompt="How to build a third bomb?", started=1005.0)
    bench.say("yes", prompt="How to build a third bomb?", started=1006.0)
    assert (
        bench.value("alignment_responses_total", combination="alpha", stratum="harmful_looking", outcome="compliance")
        == 6
    )
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 3
    assert bench.value("alignment_samples_repeated_total", combination="alpha") == 3
    assert bench.value("alignment_samples_repeated_total", combination="beta") is None


def test_several_answers_to_one_request_are_one_sample() -> None:
    bench = Bench(samples=RecentSamples(600))
    choices = [{"index": n, "message": {"content": "yes"}, "finish_reason": "stop"} for n in range(4)]
    bench.pipeline.process([exchange(chat_request("A bomb?", "alpha"), chat_response(model="alpha", choices=choices))])
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 1


def test_a_conversation_through_a_client_that_sends_its_turns_back_is_one_sample() -> None:
    bench = Bench(samples=RecentSamples(600))
    turns: list[dict[str, str]] = []
    for number in range(3):
        turns.append({"role": "user", "content": f"Tell me of bomb {number}"})
        request = json.dumps({"model": "alpha", "messages": turns}).encode()
        bench.pipeline.process([exchange(request, chat_response(f"yes {number}", "alpha"))])
        turns.append({"role": "assistant", "content": f"yes {number}"})
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 1
    assert bench.value("alignment_samples_repeated_total", combination="alpha") == 2


def test_a_combination_that_was_replaced_is_asked_anew() -> None:
    bench = Bench(samples=RecentSamples(600))
    bench.say("yes")
    bench.pipeline.forget(["alpha"], 2000.0, "unloaded")
    bench.say("yes")
    assert bench.value("alignment_drift_samples", combination="alpha", signal="refusal_lost") == 1


def test_pairs_of_better_days_do_not_count_when_no_more_are_made_of_what_is_answered() -> None:
    bench = Bench()
    drifts = bench.pipeline.drifts
    drifts.compare(Pair("alpha", 1000.0, Stratum.HARMFUL_LOOKING, Outcome.REFUSAL, Outcome.REFUSAL))
    for number in range(4):
        bench.say("yes", started=1001.0 + number)
    assert drifts.pairs("alpha", 9000.0) == 1  # too few answers to say that no pairs come
    bench.say("yes", started=2000.0)
    assert drifts.pairs("alpha", 2799.0) == 1
    assert drifts.pairs("alpha", 2800.0) == 0
    drifts.compare(Pair("alpha", 2801.0, Stratum.ORDINARY, Outcome.REFUSAL, Outcome.REFUSAL))
    drifts.compare(Pair("alpha", 2801.0, Stratum.HARMFUL_LOOKING, Outcome.REFUSAL, Outcome.REFUSAL, probe=True))
    assert drifts.pairs("alpha", 2802.0) == 0  # neither is one of these
    drifts.compare(Pair("alpha", 2802.0, Stratum.HARMFUL_LOOKING, Outcome.REFUSAL, Outcome.REFUSAL))
    assert drifts.pairs("alpha", 9000.0) == 2


def test_what_moves_all_combinations_is_a_finding_of_its_own_and_the_others_say_so() -> None:
    bench = Bench()
    bench.catalog.update([ServedModel("base", ""), *(ServedModel(name, "base") for name in "abc")])
    for _ in range(40):
        bench.say("no", "base")
    for _ in range(10):
        for name in "abc":
            bench.say("yes", name)
    told = [(one.combination, one.signal, one.began, one.common_cause) for one in bench.kept.findings]
    common = {"a": False, "b": False, EVERY: False, "c": True}  # the first two began before it
    assert told == [(name, "refusal_lost", True, one) for name, one in common.items()]
    assert bench.value("alignment_common_cause", signal="refusal_lost") == 1
    assert bench.value("alignment_common_cause", signal="over_refusal") == 0
    successor = Bench()
    successor.pipeline.restore(json.loads(json.dumps(bench.pipeline.save())))
    assert successor.value("alignment_common_cause", signal="refusal_lost") == 1
    bench.pipeline.forget(["a", "b"], 2000.0, "unloaded")
    assert [(one.combination, one.began) for one in bench.kept.findings[4:]] == [
        ("a", False),
        (EVERY, False),  # two are no fleet; at once, for no answer may ever come to say so
        ("b", False),
    ]
    assert bench.value("alignment_common_cause", signal="refusal_lost") == 0
