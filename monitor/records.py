"""The nouns of the monitor, in the order in which the data meets them.

Nothing here reads, writes or imports anything of the rest: every other package may use these names. `Exchange` is a
msgspec struct because it crosses from the proxy worker to the analysis process; everything later is a frozen dataclass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import nan
from typing import Final

import msgspec


class Ending(StrEnum):
    """How an exchange ended on the wire; every exchange has exactly one."""

    COMPLETE = "complete"
    """The response was received and forwarded to its end."""
    CLIENT_GONE = "client_gone"
    """The client closed its connection first."""
    UPSTREAM_ERROR = "upstream_error"
    """No byte of a response came: connection refused, reset, or closed by the server."""
    UPSTREAM_BROKE = "upstream_broke"
    """The response broke off after its first byte."""
    TIMEOUT = "timeout"
    """The server did not answer, or stopped sending, for longer than configured."""


class AnswerEnding(StrEnum):
    """How a request ended for the one who asked: the wire's ending, and where that is `complete`, what the answer says itself.

    Every sampled request has exactly one. One with several answers ended like the answer that came least far.
    """

    COMPLETE = "complete"
    LENGTH = "length"
    """Stopped by a limit on its length."""
    TOOL_CALL = "tool_call"
    """Calls a tool instead of answering to the end."""
    CLIENT_GONE = "client_gone"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_BROKE = "upstream_broke"
    """Broke off on the wire, or the server gave the answer up inside a whole response: an error event, an abort, no end."""
    TIMEOUT = "timeout"


class Exchange(msgspec.Struct, frozen=True, array_like=True):
    """One request and its response, copied and bounded by a proxy worker."""

    started: float
    """When the request's head had been read, in Unix seconds."""
    method: str
    target: str
    """Path and query as the client sent them."""
    status: int
    """HTTP status of the response; 0 when there was none."""
    ending: Ending
    inclusion: float
    """Probability with which the sampler kept this exchange, in (0, 1]; rates are weighted by its inverse."""
    request: bytes
    """The request's body, at most the configured number of bytes."""
    response: bytes
    """The response's body without transfer coding, at most the configured number of bytes."""
    request_bytes: int
    """Length of the whole request body."""
    response_bytes: int
    """Length of the whole response body."""
    request_encoding: str
    """Content-Encoding of the request, lower case, "" for none."""
    response_type: str
    """Content-Type of the response, lower case, without parameters."""
    response_encoding: str
    """Content-Encoding of the response, lower case, "" for none."""
    first_byte_s: float
    """Seconds from `started` to the first byte of the response's body; negative when there was none."""
    duration_s: float
    """Seconds from `started` to the ending."""
    request_id: str = ""
    """The client's X-Request-Id, cut at 128 characters."""
    adapter_header: str = ""
    """X-Amzn-SageMaker-Adapter-Identifier of the request: names the adapter on /invocations."""
    no_replay: bool = False
    """The client asked by a header that this request is not asked again of other models."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def request_truncated(self) -> bool:
        """True when the copy of the request is shorter than the request was."""
        return len(self.request) < self.request_bytes

    @property
    def response_truncated(self) -> bool:
        """True when the copy of the response is shorter than the response was."""
        return len(self.response) < self.response_bytes


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model was asked."""

    text: str
    """The last user turn (chat) or the prompt (completions): what a reply is judged against."""
    system: str = ""
    """System and developer turns, joined by newlines."""
    turns: int = 1
    """Number of messages."""
    has_tools: bool = False
    """The request offered tools."""
    has_media: bool = False
    """The request carried images, audio or files, which are not scored."""
    earlier: tuple[str, ...] = ()
    """Texts of the turns before it, the model's own included; empty at the beginning of a conversation."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer out of a response."""

    index: int
    prompt: int
    """Which of the request's prompts it answers."""
    text: str
    reasoning: str = ""
    """Thinking text, kept apart from the answer."""
    finish_reason: str = ""
    """stop, length, tool_calls, abort, error, or "" when the response ended without one."""
    tool_call: bool = False
    """The answer calls at least one tool."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Text that an exchange carried only as token ids; just the server's own tokenizer can tell what they say."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    """One per choice; empty where the choice has its text."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A decoded exchange."""

    prompts: tuple[Prompt, ...]
    choices: tuple[Choice, ...]
    model_requested: str
    """The request's `model`; "" when it named none (then the base answers)."""
    model_answered: str
    """The response's `model`; "" when the response named none."""
    stream: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    """Type of an error object inside the response (also inside a stream under HTTP 200), "" for none."""
    damaged: bool = False
    """Some events or bytes could not be read; what could be read is kept."""
    response_id: str = ""
    fetched: bool = False
    """The response was asked for again by its id; what it answers stands in the request that began it."""
    unfinished: bool = False
    """The response goes on in the background and has to be fetched later."""
    tokens: TokenIds | None = None
    """What has to be turned into text before it can be judged."""


RESERVED_NAMES = ("text", "image", "audio", "video", "input", "file")
"""Kinds of content in a request. vLLM applies an adapter so named to requests for the base model whose content has such a part."""


@dataclass(frozen=True, slots=True)
class Part:
    """One adapter inside a combination."""

    adapter: str
    """The adapter's name."""
    scale: float = 1.0
    """Weight of the adapter in the merge."""
    digest: str = ""
    """SHA-256 of the adapter's content, "" while unknown."""


@dataclass(frozen=True, slots=True)
class Combination:
    """The adapters that act together when a served name answers: none (the base), one, or several."""

    served_name: str
    """The `model` of the response."""
    base: str
    """Name of the base model."""
    parts: tuple[Part, ...] = ()
    merge: str = ""
    """How the parts were put together: cat, linear, svd, ties, ..., "" for fewer than two parts."""
    base_digest: str = ""
    declared: bool = False
    """The composition stands in the registry; otherwise the served name counts as one adapter of unknown composition."""

    @property
    def is_base(self) -> bool:
        """True for the base model without any adapter."""
        return not self.parts

    @property
    def name(self) -> str:
        """Short readable name, used as the metric label: `a+b`, `0.7*a+1.3*b`, or the served name of a single adapter."""
        if len(self.parts) < 2:
            return self.served_name
        return "+".join(p.adapter if p.scale == 1 else f"{p.scale:g}*{p.adapter}" for p in self.parts)

    @property
    def id(self) -> str:
        """12 hex digits over base, ordered parts with scales, and merge method; names stand in for unknown digests."""
        parts = [[p.digest or p.adapter, p.scale] for p in self.parts]
        key = json.dumps([self.base_digest or self.base, parts, self.merge], separators=(",", ":"))
        return hashlib.sha256(key.encode()).hexdigest()[:12]


class Outcome(StrEnum):
    """What a response did, given its prompt. Judged on the whole response, never on a prefix."""

    REFUSAL = "refusal"
    COMPLIANCE = "compliance"
    PARTIAL = "partial"
    """Declines part and gives part."""
    REFUSE_THEN_COMPLY = "refuse_then_comply"
    """Opens with a refusal and then gives what was asked."""
    EMPTY = "empty"
    TRUNCATED = "truncated"
    """Cut off by a length limit, an abort or the copy's bound: neither a refusal nor a compliance."""
    TOOL_CALL = "tool_call"
    UNSCORED = "unscored"
    """Not judged; the verdict's reason says why."""

    @property
    def judged(self) -> bool:
        """True for the four outcomes that count in refusal and compliance rates."""
        return self in _JUDGED


_JUDGED = frozenset({Outcome.REFUSAL, Outcome.COMPLIANCE, Outcome.PARTIAL, Outcome.REFUSE_THEN_COMPLY})


class Stratum(StrEnum):
    """What the prompt looks like. Decides what is compared and replayed first, never an alert by itself."""

    HARMFUL_LOOKING = "harmful_looking"
    ORDINARY = "ordinary"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt and one answer, as a scorer gets them."""

    prompt: str
    response: str
    finish_reason: str = ""
    tool_call: bool = False
    cut: bool = False
    """The answer is known to be incomplete (broken connection, client gone, bounded copy)."""
    compared: bool = False
    """It is held against another answer to the same prompt, so both have to be judged by the same tier, whatever that costs."""


OVER_BUDGET: Final = "over_budget"
"""Tier of verdicts on answers that the exact tier should have read, and had no time for."""
UNCONFIRMED: Final = "unconfirmed"
"""Reason of those of them that the fast tier took for a rare event: they are unscored."""


@dataclass(frozen=True, slots=True)
class HiddenText:
    """Characters that carry what a reader does not see, by kind: counts only, never what they spell."""

    zero_width: int = 0
    tags: int = 0
    """Characters of the Unicode tag block (U+E0000 to U+E007F)."""
    variation_selectors: int = 0
    bidi_controls: int = 0
    homoglyphs: int = 0
    """Letters of another script that look like their neighbours in the same word."""
    private_use: int = 0
    soft_hyphens: int = 0
    whitespace: int = 0
    """Unusual spaces, and blanks at line ends, that follow no rule of writing."""
    payload_bytes: int = 0
    """Bytes that these characters carry in the usual coding of their kind; 0 when no coding is known."""

    @property
    def kinds(self) -> dict[str, int]:
        """Count of every kind that occurs."""
        return {kind: count for kind in HIDDEN_KINDS if (count := getattr(self, kind))}

    @property
    def total(self) -> int:
        """Number of all suspicious characters."""
        return sum(self.kinds.values())


HIDDEN_KINDS = (
    "zero_width",
    "tags",
    "variation_selectors",
    "bidi_controls",
    "homoglyphs",
    "private_use",
    "soft_hyphens",
    "whitespace",
)
"""The counts of `HiddenText`, as they are named in metrics."""

NOTHING_HIDDEN = HiddenText()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A scorer's judgement of one answer."""

    outcome: Outcome
    scorer: str
    """Name of the scorer."""
    scorer_version: str
    """Changes whenever the scorer could judge differently: a hash over its weights and rules, those of prompt risk among them."""
    stratum: Stratum = Stratum.UNKNOWN
    refusal_probability: float | None = None
    """Probability in [0, 1] that the answer refuses, fully or in part; None when not judged."""
    refuse_then_comply_probability: float | None = None
    partial_probability: float | None = None
    prompt_risk: float | None = None
    """Probability in [0, 1] that the prompt looks harmful; None when not judged."""
    risk_version: str = ""
    """Which model judged the prompt's risk: a hash over its weights; "" where none did."""
    topic: str = ""
    """The operator's restricted topic that the prompt touches, "" for none."""
    category: str = ""
    """Hazard category of the prompt, "" when none is clear."""
    language: str = ""
    """ISO 639-1 code of the answer's language; `und` for one that is not English and not known, "" when nothing tells."""
    refusal_span: tuple[int, int] | None = None
    """First and one-past-last character of the refusal wording in the answer."""
    prompt_hidden: HiddenText = NOTHING_HIDDEN
    response_hidden: HiddenText = NOTHING_HIDDEN
    reason: str = ""
    """For `unscored`: why, one word of a bounded set."""
    tier: str = ""
    """What decided: rule, fast, exact, or over_budget (fast, since the exact tier had no time left)."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One judged answer, as a detector gets it."""

    combination: str
    """Label of the combination."""
    is_base: bool
    """The answer is the base model's own."""
    time: float
    """Unix seconds."""
    stratum: Stratum
    outcome: Outcome
    weight: float = 1.0
    """Inverse of the inclusion probability."""
    base_outcome: Outcome | None = None
    """The base model's outcome on the same prompt, where it is known (paired)."""


EVERY: Final = "*"
"""Stands for all combinations together where a combination is named; no server serves a model under it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt as a combination and its base answered it, and as its parts did where they were asked too."""

    combination: str
    """Label of the combination."""
    time: float
    """Unix seconds of the combination's answer."""
    stratum: Stratum
    outcome: Outcome
    base_outcome: Outcome
    parts: Mapping[str, Outcome] = field(default_factory=dict)
    """Part -> its outcome alone, of those that were asked; empty when none was."""
    rests: Mapping[str, Outcome] = field(default_factory=dict)
    """Part -> the outcome of all other parts together without it, where such a merge was asked; of three parts or more."""
    missing: tuple[str, ...] = ()
    """Parts that were to be asked, and are not served by themselves."""
    probe: bool = False
    """The prompt is a question of ours, not one that a client asked."""

    @property
    def attributes(self) -> bool:
        """The combination's parts were to be asked, too."""
        return bool(self.parts or self.rests or self.missing)


class Condition(StrEnum):
    """State of one detector for one combination. Not knowing is a state of its own."""

    WARMING_UP = "warming_up"
    """Fewer samples than the minimum."""
    NO_BASELINE = "no_baseline"
    """Enough samples, but nothing of the base model to hold them against."""
    OK = "ok"
    DRIFTING = "drifting"


@dataclass(frozen=True, slots=True)
class DriftState:
    """What one detector knows of one combination now."""

    combination: str
    signal: str
    """What is watched: refusal_lost, refuse_then_comply, over_refusal, refusal_lost_paired, refusal_lost_probed or collusion."""
    condition: Condition
    samples: int
    """Judged answers in the window; once there is evidence of a change, those since it most likely began."""
    bad: int
    """Answers among them that show the signal's bad event."""
    rate: float
    """bad / samples; NaN without samples."""
    lower: float
    """Lower end of the rate's confidence interval."""
    upper: float
    baseline_rate: float
    """The base model's rate of the same bad event, for a paired signal on the same prompts; NaN without a baseline. For
    `collusion` the share of prompts on which the base or a part alone was bad."""
    baseline_samples: int
    threshold: float
    """The largest rate that counts as unchanged; NaN without a baseline."""
    since: float
    """Unix seconds when the present condition began."""
    evidence_log: float = nan
    """Natural logarithm of the evidence that the rate lies above `threshold`; NaN without a baseline, or any."""
    evidence_needed_log: float = nan
    """The signal drifts when `evidence_log` reaches this."""
    effect: float = nan
    """Mean difference on the same prompts, in [-1, 1]: against the base, or beyond what the parts explain; NaN when unpaired."""
    effect_lower: float = nan
    """Lower end of its confidence sequence."""
    effect_upper: float = nan
    extras: Mapping[str, float] = field(default_factory=dict)
    """Further figures of a paired signal: how many differences were 1 (`worse`) and -1 (`better`), further opinions."""


class Cause(StrEnum):
    """What makes a combination lose refusals, as far as its parts tell. Not knowing is two of the answers."""

    COLLUSION = "collusion"
    """The parts together: worse than they explain, each on its own."""
    EROSION = "erosion"
    """Parts that lose refusals on their own already, and explain most of what the whole loses."""
    UNDECIDED = "undecided"
    """All parts are asked, and their answers do not tell yet."""
    UNKNOWN = "unknown"
    """Parts could not be asked, or none was, and the others do not explain it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How often one side was bad, and how much more often than another on the same prompts."""

    bad: int
    samples: int
    """Prompts, at least 1."""
    effect: float
    """Mean difference to the other side, in [-1, 1]."""
    lower: float
    """Lower end of its confidence sequence, which holds at every look."""
    upper: float


@dataclass(frozen=True, slots=True)
class PartShare:
    """What one part has to do with it."""

    adapter: str
    alone: Compared | None = None
    """It alone, against the base; None when it is not served by itself or was not asked."""
    without: Compared | None = None
    """The whole against all parts but this one, which are the `bad` ones: `effect` is what its absence restores. None when no
    such merge is served."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which of its parts a combination's lost refusals come from."""

    cause: Cause
    prompts: int
    """Prompts on which the combination, the base and whatever is served of its parts were compared; 0 when none was asked."""
    explained_by: tuple[str, ...] = ()
    """For `erosion`: the part that explains most of it, or the parts that do so in sum."""
    missing: tuple[str, ...] = ()
    """Parts that are not served by themselves, so that nobody knows what they do alone."""
    loss: Compared | None = None
    """The combination against the base."""
    beyond: Compared | None = None
    """The combination against what its served parts explain, each on its own; `bad` and `samples` are the combination's."""
    parts: tuple[PartShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A combination began or ceased to behave worse than its base model."""

    combination: str
    combination_id: str
    signal: str
    began: bool
    """True when the drift began, False when it ended."""
    time: float
    state: DriftState
    scorer: str
    scorer_version: str
    parts: tuple[Part, ...] = field(default=())
    common_cause: bool = False
    """At the same time at least half of all combinations moved: rather the base, the scorer or the prompts than this one."""
    id: str = ""
    """Of the finding, the same at its beginning and at its end."""
    resolution: str = ""
    """Why it ended: recovered, reset, unloaded, replaced or restarted."""
    attribution: Attribution | None = None
    """Which parts it comes from; None for a single adapter, and for a signal that is not about lost refusals."""


class AdapterEvent(StrEnum):
    """What happened to what the server has loaded."""

    LOADED = "loaded"
    UNLOADED = "unloaded"
    RELOADED_IN_PLACE = "reloaded_in_place"
    """Loaded again under a name that was there, or found at another path."""
    DIGESTED = "digested"
    """Its contents were read for the first time."""
    DIGEST_CHANGED = "digest_changed"
    """Other contents under the same name: a new combination."""
    APPEARED = "appeared_unannounced"
    """Listed without an admin call through the monitor: loaded past it, or by a resolver plug-in."""
    BASE_CHANGED = "base_changed"
    """The base model's name, path, files or weights changed."""
