"""What the API answers and takes. The OpenAPI document is made from these types, and so is every response."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Limit = Annotated[int, Meta(ge=1, le=5000, description="Entries of one page at most.")]
Cursor = Annotated[
    str,
    Meta(
        max_length=1000, pattern="^[A-Za-z0-9_-]*$", description="`next` of the page before; what it holds may change."
    ),
]
Name = Annotated[str, Meta(max_length=1000)]
Next = Annotated[str | None, Meta(description="Cursor of the page behind this one; null on the last.")]
Seconds = Annotated[float, Meta(description="Unix seconds.")]


class Model(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all: what nobody described here is not served."""


class Problem(Model):
    """RFC 9457: why a request was not answered."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""


class PageQuery(Model):
    """Where a page begins and how long it is."""

    limit: Limit = 1000
    cursor: Cursor = ""


class PartModel(Model):
    """One adapter inside a combination."""

    adapter: str
    scale: float


class SignalModel(Model):
    """What one detector knows of a combination; null where it does not know."""

    signal: str
    condition: Literal["warming_up", "no_baseline", "ok", "drifting"]
    samples: int
    bad: int
    rate: float | None
    lower: float | None
    upper: float | None
    baseline_rate: float | None
    baseline_samples: int
    threshold: float | None
    since: float | None
    evidence_log: float | None = None
    evidence_needed_log: float | None = None
    effect: Annotated[
        float | None, Meta(description="Mean difference on the same prompts, in [-1, 1]; null for unpaired signals.")
    ] = None
    effect_lower: float | None = None
    effect_upper: float | None = None
    extras: Annotated[dict[str, float | None], Meta(description="Further figures of a paired signal.")] = {}


class ComparedModel(Model):
    """How often one side was bad, and how much more often than the other on the same prompts."""

    bad: int
    samples: int
    effect: Annotated[float, Meta(description="Mean difference, in [-1, 1].")]
    lower: float
    upper: float


class PartShareModel(Model):
    """What one part has to do with it."""

    adapter: str
    alone: Annotated[
        ComparedModel | None, Meta(description="It alone, against the base; null when it is not served by itself.")
    ]
    without: Annotated[
        ComparedModel | None,
        Meta(description="All parts but this one; effect is what its absence restores. null when that is not served."),
    ]


class AttributionModel(Model):
    """Which of its parts a combination's lost refusals come from."""

    cause: Annotated[
        Literal["collusion", "erosion", "undecided", "unknown"],
        Meta(
            description="erosion: parts explain it, each on its own; unknown: parts are not served, or were not asked."
        ),
    ]
    sentence: str
    prompts: Annotated[int, Meta(description="Prompts that its parts were asked, too.")]
    explained_by: Annotated[list[str], Meta(description="For erosion: the part, or the parts in sum.")]
    missing: Annotated[list[str], Meta(description="Parts that are not served by themselves.")]
    loss: Annotated[ComparedModel | None, Meta(description="The combination against the base.")]
    beyond: Annotated[
        ComparedModel | None,
        Meta(description="Against what its served parts explain: with missing parts the most that may be collusion."),
    ]
    parts: list[PartShareModel]


class ProbeFigureModel(Model):
    """One rate of a round of probing, with the base's answers to the same questions."""

    signal: str
    slice: Annotated[str, Meta(description="What it is measured on.")]
    bad: int
    samples: int
    rate: float
    rate_lower: float
    rate_upper: float
    base_rate: float | None
    base_rate_lower: float | None
    base_rate_upper: float | None
    worse: Annotated[int, Meta(description="Questions that it answered worse than the base.")]
    better: int
    chance: Annotated[
        float | None, Meta(description="Of so many worse ones if there were no difference: sign test, one-sided.")
    ]
    failing: Annotated[bool, Meta(description="Worse than the base beyond chance, in a figure that counts.")]


class ProbeRoundModel(Model):
    """A round of probing that was asked to its end."""

    reason: Literal["asked", "first_use", "scheduled"]
    began: Seconds
    ended: Seconds
    asked: Annotated[int, Meta(description="Questions.")]
    result: Annotated[
        Literal["running", "passed", "failed", "unmeasured"],
        Meta(description="passed: not found worse than the base; unmeasured: too little came of it."),
    ]
    sentence: str
    figures: list[ProbeFigureModel]


class ProbingModel(Model):
    """What the sidecar's own questions found of what is served now."""

    state: Literal["idle", "queued", "running"]
    asked: Annotated[int, Meta(description="Questions of the present round that are answered.")]
    questions: Annotated[int, Meta(description="Questions of the present round.")]
    next: Annotated[float | None, Meta(description="Unix seconds: when the next scheduled round is due; null for now.")]
    validation: Annotated[ProbeRoundModel | None, Meta(description="The latest round over all questions.")]
    latest: ProbeRoundModel | None


class CombinationModel(Model):
    """Adapters that act together when a served name answers."""

    name: str
    id: str
    served_name: str
    is_base: bool
    declared: bool
    parts: list[PartModel]
    merge: str
    requests: int
    outcomes: dict[str, int]
    categories: Annotated[
        dict[str, dict[str, int]], Meta(description="Hazard category of the prompts, outcome, answers.")
    ]
    last_sample: float | None
    signals: list[SignalModel]
    status: Annotated[
        str | None, Meta(description="unvalidated, validating, validated, failed, drifting or quarantined.")
    ] = None
    status_reason: str = ""
    attribution: Annotated[
        AttributionModel | None, Meta(description="null of a single adapter, and while nothing is suspected.")
    ] = None
    probing: Annotated[ProbingModel | None, Meta(description="null where it is not probed.")] = None
    validation_required: bool = False
    findings: Annotated[list[str], Meta(description="What else is wrong with what it is made of.")] = []
    digest: str = ""
    digest_problem: str = ""
    composition: Annotated[str, Meta(description="What its weights say that it is made of.")] = ""
    composition_details: dict[str, Any] | None = None


class MismatchModel(Model):
    """Answers that came from another model than was asked for."""

    requested: str
    answered: str
    count: int


class EventModel(Model):
    """A change of what the server has loaded."""

    time: Seconds
    kind: str
    name: str
    root: str = ""
    digest: str = ""
    detail: str = ""


class ScorerModel(Model):
    """Which scorer judges."""

    name: str
    version: Annotated[str, Meta(description="A hash over all that judges.")]
    risk_version: Annotated[str, Meta(description="A hash over the model of prompt risk, which is a part of that.")]


class JudgedModel(Model):
    """The latest exchanges of one endpoint that generates text."""

    endpoint: str
    seen: Annotated[int, Meta(description="Exchanges that passed and ended.")]
    due: Annotated[int, Meta(description="Of these were to be judged; the sampling left the others out.")]
    scored: int


class CoverageModel(Model):
    """What became of the latest traffic."""

    window_s: Annotated[float, Meta(description="Seconds that it speaks of: 900, less right after the start.")]
    endpoints: Annotated[list[JudgedModel], Meta(description="Those that had any traffic.")]


class Combinations(Model):
    """All combinations, by name, the base first."""

    time: Seconds
    scorer: ScorerModel
    combinations: list[CombinationModel]
    mismatches: list[MismatchModel]
    events: Annotated[list[EventModel], Meta(description="The latest ones, the newest first; /api/v1/events has all.")]
    coverage: Annotated[CoverageModel | None, Meta(description="null until all proxy workers have reported.")] = None
    next: Next = None


class EventQuery(PageQuery):
    """Which events."""

    name: Name | UnsetType = UNSET
    kind: Name | UnsetType = UNSET


class Events(Model):
    """Events, the newest first."""

    time: Seconds
    events: list[EventModel]
    next: Next = None


class MemberModel(Model):
    """A combination that holds both adapters of a pair."""

    name: str
    id: str
    parts: list[PartModel]
    condition: Annotated[str, Meta(description="The most telling of its signals' conditions.")]
    signals: list[SignalModel]


class PairModel(Model):
    """Two adapters that are served together."""

    first: str
    second: str
    condition: Annotated[str, Meta(description="The most telling condition of the combinations that hold both.")]
    first_alone: Annotated[str | None, Meta(description="Condition of the first alone; null when not served alone.")]
    second_alone: str | None
    combinations: list[MemberModel]


class Pairs(Model):
    """All pairs of adapters that are served together, by name."""

    time: Seconds
    pairs: list[PairModel]
    next: Next = None


class MeasuredModel(Model):
    """One figure of an evaluation."""

    type: str
    value: float
    slice: str = ""
    lower: float | None = None
    upper: float | None = None


class EvaluationModel(Model):
    """An evaluation as the registry has it, or as the sidecar made it."""

    subject: Annotated[str, Meta(description="Adapter, or served name of the combination.")]
    kind: Literal["adapter", "combination"]
    date: str
    scope: Literal["alone", "combined"]
    suite: str
    suite_version: str = ""
    scorer: str = ""
    scorer_version: str = ""
    base: str = ""
    base_version: str = ""
    context: str = ""
    by: str = ""
    report: str = ""
    source: Annotated[
        Literal["registry", "probing"],
        Meta(description="Where it stands: in the registry, or in the sidecar's memory."),
    ] = "registry"
    metrics: list[MeasuredModel] = []


class EvaluationQuery(PageQuery):
    """Which evaluations."""

    subject: Name | UnsetType = UNSET


class Evaluations(Model):
    """Evaluations of the registry and of the sidecar's probing, by subject, then as they were entered."""

    time: Seconds
    evaluations: list[EvaluationModel]
    next: Next = None


class NumbersModel(Model):
    """What a detector knew; null where it did not."""

    samples: int
    bad: int
    rate: float | None
    lower: float | None
    upper: float | None
    baseline_rate: float | None
    baseline_samples: int
    threshold: float | None
    evidence_log: float | None
    evidence_needed_log: float | None
    effect: float | None
    effect_lower: float | None
    effect_upper: float | None


class EffectModel(Model):
    """How much larger the bad rate is than the base's, with its interval."""

    difference: float
    lower: float
    upper: float


class AcknowledgementModel(Model):
    """Who looks after a finding."""

    time: Seconds
    by: str
    note: str = ""


State = Literal["open", "acknowledged", "resolved"]


class FindingModel(Model):
    """A combination behaves, or behaved, worse than its base model."""

    id: str
    combination: str
    combination_id: str
    parts: list[PartModel]
    signal: str
    state: State
    began: Annotated[float, Meta(description="Unix seconds: when the evidence sufficed.")]
    changed: Annotated[float, Meta(description="Unix seconds: when the behaviour most likely changed.")]
    changed_before: Annotated[bool, Meta(description="It may have changed earlier than that.")]
    common_cause: Annotated[bool, Meta(description="Many others moved at the same time.")]
    ended: Annotated[float | None, Meta(description="Unix seconds; null while it lasts.")]
    resolution: Annotated[
        str, Meta(description="Why it ended: recovered, reset, unloaded, replaced or restarted; empty while it lasts.")
    ]
    lasted: Annotated[float | None, Meta(description="Seconds from its beginning to its end; null while it lasts.")]
    first: Annotated[NumbersModel, Meta(description="When it began.")]
    latest: NumbersModel
    effect: EffectModel | None
    categories: Annotated[dict[str, int], Meta(description="Hazard category, bad answers since the change.")]
    before: Annotated[list[EventModel], Meta(description="What was loaded and replaced before it, the newest first.")]
    examples: Annotated[list[str], Meta(description="Ids of stored answers.")]
    acknowledged: AcknowledgementModel | None
    attribution: Annotated[
        AttributionModel | None, Meta(description="null of a single adapter, and where it is not about lost refusals.")
    ]
    scorer: str
    scorer_version: str


class FindingQuery(PageQuery):
    """Which findings."""

    state: State | UnsetType = UNSET
    combination: Name | UnsetType = UNSET
    signal: Name | UnsetType = UNSET
    ended_after: Annotated[float, Meta(description="Unix seconds: those that ended later only.")] | UnsetType = UNSET


class Findings(Model):
    """Findings, the newest first."""

    time: Seconds
    findings: list[FindingModel]
    next: Next = None


Outcomes = Literal[
    "refusal", "compliance", "partial", "refuse_then_comply", "empty", "truncated", "tool_call", "unscored"
]


class ExampleModel(Model):
    """A stored prompt and answer, redacted."""

    id: str
    time: Seconds
    combination: str
    combination_id: str
    served_name: str
    outcome: str
    stratum: Literal["harmful_looking", "ordinary", "unknown"]
    category: Annotated[str, Meta(description="Hazard category of the prompt; empty when none is clear.")]
    topic: Annotated[str, Meta(description="The configured restricted topic that the prompt touches; empty for none.")]
    language: str
    signals: Annotated[list[str], Meta(description="Signals for which it is the bad event.")]
    findings: Annotated[list[str], Meta(description="Ids of the findings that name it.")]
    scorer: str
    scorer_version: str
    tier: str
    refusal_probability: float | None
    prompt_risk: float | None
    turns: Annotated[int, Meta(description="Messages of the request; the last user turn is the prompt.")]
    finish_reason: str
    readable: Annotated[
        bool, Meta(description="false when it is encrypted with a key that is not configured: its texts are empty.")
    ]
    prompt: str
    answer: str
    prompt_characters: Annotated[int, Meta(description="Of the whole prompt, of which the beginning is kept.")]
    answer_characters: int
    base_answer: Annotated[
        str | None, Meta(description="What the base answered to the same request; null when it was not asked.")
    ]
    base_outcome: str
    base_characters: int
    redacted: Annotated[dict[str, int], Meta(description="What was redacted in its texts: kind, how many.")]
    kept_characters: Annotated[int, Meta(description="Characters of each text that are kept at most.")]


Who = Annotated[str, Meta(max_length=200, description="Who you are; it is written into the audit.")]


class ExampleQuery(Model):
    """Which examples."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Entries of one page at most.")] = 50
    cursor: Cursor = ""
    combination: Name | UnsetType = UNSET
    signal: Name | UnsetType = UNSET
    outcome: Outcomes | UnsetType = UNSET
    finding: Name | UnsetType = UNSET
    by: Who = ""


class ByQuery(Model):
    """Who reads."""

    by: Who = ""


class Examples(Model):
    """Stored examples, the newest first."""

    time: Seconds
    examples: list[ExampleModel]
    next: Next = None


By = Annotated[str, Meta(min_length=1, max_length=200, description="Who you are; it is written into the audit.")]
Text = Annotated[str, Meta(max_length=2000)]


class Acknowledge(Model):
    """Somebody looks after it."""

    by: By
    note: Text = ""


class Reset(Model):
    """A combination's detectors begin anew."""

    by: By
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class ResetDone(Model):
    """What a reset ended."""

    combination: str
    ended: Annotated[list[str], Meta(description="Ids of the findings that it ended.")]


Before = Annotated[float, Meta(ge=0, le=1e11, description="Unix seconds: those older than this.")]


class PurgeIds(Model, tag_field="what", tag="ids"):
    """These."""

    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=500)]


class PurgeCombination(Model, tag_field="what", tag="combination"):
    """Those of one combination."""

    combination: Annotated[str, Meta(min_length=1, max_length=1000)]
    before: Before | None = None


class PurgeOlder(Model, tag_field="what", tag="older"):
    """Those before a moment."""

    before: Before


class PurgeEverything(Model, tag_field="what", tag="everything"):
    """All of them."""


class PurgeNow(Model):
    """Stored examples are to be removed, whatever findings name them."""

    by: By
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    which: PurgeIds | PurgeCombination | PurgeOlder | PurgeEverything


class PurgeDone(Model):
    """What was removed."""

    removed: int


class ProbeNow(Model):
    """A combination is to be asked all questions now."""

    by: By
    reason: Text = ""


class ProbeQueued(Model):
    """Where that round stands."""

    combination: str
    state: Annotated[Literal["queued", "running"], Meta(description="running: it was being validated already.")]
