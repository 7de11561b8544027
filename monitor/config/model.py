"""What can be configured: one section per package, named after it.

Unknown keys are errors. The docstring under each field is its line in the reference table (monitor/config/REFERENCE.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from monitor.config.fields import (
    Address,
    EndpointUrl,
    Pattern,
    PositiveInt,
    Probability,
    Route,
    Seconds,
    Section,
    UpstreamUrl,
    WebAddress,
)


class RoutesSection(Section):
    """Which of the server's routes clients reach through the sidecar. Those that generate, embed, score, tokenise or tell
    how the server is pass; those that change the server are closed."""

    open: tuple[str, ...] = ()
    """Routes that change the server and are open all the same, such as /v1/load_lora_adapter; * opens all of them."""
    admin_token_file: Path | None = None
    """File with a token that requests to opened routes must carry in the header X-Alignment-Admin-Token, beside what the
    server itself asks for; it is never forwarded."""
    allow: tuple[Route, ...] = ()
    """Further paths that pass, such as a plugin's /v1/rag; a final /* stands for everything below."""
    unlisted: Literal["deny", "pass"] = "deny"
    """What happens to requests for routes that are not known: 403, or forwarded."""
    root_path: Annotated[str, Field(pattern=r"^(/[\w.~-]+)*$")] = ""
    """The server's --root-path, when it has one: paths pass with it and without."""
    websocket: Literal["refuse", "tunnel"] = "refuse"
    """What happens to WebSocket connections (/v1/realtime): 501, or carried unread. What they say is never judged."""


class ProxySection(Section):
    """The reply path."""

    upstream: UpstreamUrl = "http://127.0.0.1:8000"
    """The vLLM server: http://HOST:PORT, https://HOST:PORT or unix:/path/to/socket."""
    listen: Address = "127.0.0.1:8001"
    """HOST:PORT that clients connect to instead of to vLLM."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Proxy processes, each on the same port."""
    pool_idle_s: Annotated[float, Field(gt=0, lt=5)] = 4.0
    """Seconds after which an idle upstream connection is closed; below vLLM's own 5 s, so that none is reused
    while the server closes it."""
    connect_timeout_s: Seconds = 5.0
    """Seconds to connect to the upstream; 504 after that."""
    first_byte_timeout_s: Seconds = 600.0
    """Seconds to wait for the first byte of a response; 504 after that."""
    stream_idle_timeout_s: Seconds = 300.0
    """Seconds without a byte inside a response after which it counts as broken off."""
    client_idle_timeout_s: Seconds = 75.0
    """Seconds after which a client connection without a request is closed, and within which a request's head must be complete."""
    drain_grace_s: Seconds = 25.0
    """Seconds that running responses get to end after SIGTERM; keep it below Kubernetes' terminationGracePeriodSeconds (30)."""
    upstream_ca_file: Path | None = None
    """PEM file of the authorities that may sign an https upstream's certificate; the system's when not set."""
    upstream_cert_file: Path | None = None
    """PEM file of the certificate that is shown to an https upstream which asks for one."""
    upstream_key_file: Path | None = None
    """PEM file of its key, unencrypted; not needed when the certificate's file holds it too."""
    listen_cert_file: Path | None = None
    """PEM file of the certificate, with its chain, that clients are shown: `listen` then speaks TLS. A file that is replaced is
    used within a minute."""
    listen_key_file: Path | None = None
    """PEM file of its key, unencrypted; not needed when the certificate's file holds it too."""
    listen_client_ca_file: Path | None = None
    """PEM file of the authorities that must have signed a client's certificate; clients need none when not set."""
    routes: RoutesSection = Field(default_factory=RoutesSection)
    """Which of the server's routes clients reach."""

    @model_validator(mode="after")
    def _certificates_are_whole(self) -> ProxySection:
        for side in ("listen", "upstream"):
            if getattr(self, f"{side}_key_file") and not getattr(self, f"{side}_cert_file"):
                raise ValueError(f"{side}_key_file is the key of a certificate, and {side}_cert_file names none")
        if self.listen_client_ca_file and not self.listen_cert_file:
            raise ValueError("listen_client_ca_file needs listen_cert_file: without TLS no client shows a certificate")
        if self.upstream_cert_file and not self.upstream.startswith("https://"):
            raise ValueError(f"upstream_cert_file is shown to an https upstream, and {self.upstream} is none")
        return self


class HandoffSection(Section):
    """The bounded hand-off from the proxy workers to the analysis process."""

    request_copy_bytes: PositiveInt = 256 * 1024
    """Bytes of a request's body that are copied at most."""
    response_copy_bytes: PositiveInt = 256 * 1024
    """Bytes of a response's body that are copied at most."""
    queue_bytes: PositiveInt = 16 * 1024 * 1024
    """Bytes that wait in a worker for the analysis process at most; what comes beyond is dropped and counted."""
    queue_exchanges: PositiveInt = 4096
    """Exchanges that wait in a worker, and again in the analysis process, at most."""


class CombinationSampling(Section):
    """Sampling of one served name."""

    rate: Probability = 1.0
    """Share of its exchanges that is copied and scored."""


class SamplingSection(Section):
    """Which exchanges are copied and scored."""

    rate: Probability = 1.0
    """Share of exchanges that is copied and scored, where `combinations` says nothing else."""
    minimum_per_hour: Annotated[int, Field(ge=0)] = 60
    """Exchanges per requested model and hour that are kept whatever the rate (each worker keeps its share of it)."""
    combinations: dict[str, CombinationSampling] = Field(default_factory=dict)
    """Served name -> its own rate."""


class AdaptersSection(Section):
    """What is loaded on the server and what it is made of."""

    registry_file: Path | None = None
    """YAML file, or CycloneDX document, that declares which served names are combinations of which adapters."""
    folders: tuple[Path, ...] = ()
    """Folders, at the same path as in the server, below which the files of served adapters and of the base may be read for
    their digests and for weight forensics; nothing else is read. Empty: no files are read, and everything is `undigested`."""
    known: tuple[Path, ...] = ()
    """Folders of adapters (or of folders of adapters) that a served adapter of undeclared composition is compared with,
    beside the other served ones."""
    cache_folder: Path | None = None
    """Folder for inner products between adapters, so that a restart does not compute them again; in memory when not set."""
    events_file: Path | None = None
    """File to which the events of adapters are appended as JSON lines, and from which they are read at the start."""
    validation: Literal["auto", "required", "off"] = "auto"
    """Whether an unvalidated combination that serves users is worth an alert: `auto` when the registry holds any evaluation
    or approval, so that nobody is alerted who never registered one."""
    enforcement: Literal["observe", "block-quarantined", "block-unvalidated"] = "observe"
    """What becomes of requests for combinations that must not answer: forwarded and only counted; or refused with 403 when the
    combination is quarantined; or refused also when it is unvalidated, or not listed by the server, or not decided about yet
    (503). The base model always passes. See ARCHITECTURE.md, "What may answer"."""
    loading: Literal["observe", "deny-unknown", "deny-unsigned"] = "observe"
    """Which calls to opened routes that load an adapter (`proxy.routes.open`) pass: all; or those for a path in `folders` whose
    contents the registry knows; or those whose contents it knows and whose signature `registry verify` found valid. All others
    get 403."""
    quarantine_drifting: tuple[
        Literal["refusal_lost", "refuse_then_comply", "refusal_lost_paired", "refusal_lost_probed", "collusion"], ...
    ] = ()
    """Signals of drift that quarantine a combination by themselves, for as long as they stand."""
    held_request_bytes: Annotated[int, Field(ge=4096, le=64 * 1024 * 1024)] = 8 * 1024 * 1024
    """Longest body of a request whose model is read; unless `enforcement` is `observe`, longer ones are refused."""
    poll_interval_s: Seconds = 10.0
    """Seconds between two looks at the server's /v1/models."""
    api_key_file: Path | None = None
    """File with the API key for the monitor's own calls to the server; clients' keys are never used for them."""
    max_combinations: Annotated[int, Field(ge=2, le=5000)] = 200
    """Combinations with metrics of their own, some hundred series each and 600 at most; what comes beyond counts as `other`, as do
    names of more than 256 characters or with invisible ones."""
    unload_grace_s: Seconds = 600.0
    """Seconds for which an unloaded combination keeps its metrics."""

    @model_validator(mode="after")
    def _approvals_can_hold(self) -> AdaptersSection:
        if self.enforcement == "block-unvalidated" and self.registry_file is None:
            raise ValueError(
                "enforcement: block-unvalidated needs registry_file: without approvals nothing but the base would answer"
            )
        if self.loading != "observe" and not (self.registry_file and self.folders):
            raise ValueError(
                f"loading: {self.loading} needs registry_file and folders: what cannot be compared is not loaded"
            )
        return self

    @property
    def guards(self) -> bool:
        """Something is kept from the server: answers of some combinations, or the loading of some adapters."""
        return self.enforcement != "observe" or self.loading != "observe"


class RestrictedTopic(Section):
    """A topic that this organisation's models must refuse."""

    name: str
    """Short name, shown in verdicts."""
    keywords: tuple[str, ...] = ()
    """Words or phrases; a prompt that contains one (whole words, any case) is harmful-looking."""
    patterns: tuple[Pattern, ...] = ()
    """Regular expressions with the same effect."""
    examples: tuple[str, ...] = ()
    """Example prompts; one that resembles them (the same rare words, inflected or not) is harmful-looking. Five to twenty."""
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.35
    """Resemblance from which an example matches; lower finds more wordings and more that is something else."""

    @model_validator(mode="after")
    def _can_match(self) -> RestrictedTopic:
        if not (self.keywords or self.patterns or self.examples):
            raise ValueError("no prompt would match it: give keywords, patterns or examples")
        return self


class JudgeSection(Section):
    """A second opinion from another model. Prompts and answers are sent to this endpoint, and to nothing else, once it is set."""

    endpoint: EndpointUrl | None = None
    """OpenAI-compatible server that judges, without the /v1: http://HOST:PORT or https://HOST/PREFIX; off when not set."""
    model: str = ""
    """Name of the judge model there."""
    template: Literal[
        "instruct", "llama_guard", "wildguard", "granite_guardian", "granite_guardian_4", "gpt_oss_safeguard"
    ] = "instruct"
    """The model's family, which decides how it is asked and what its reply means."""
    api_key_file: Path | None = None
    """File with the API key for that server."""
    requests_per_s: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Calls per second at most."""
    tokens_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 2000.0
    """Tokens per second at most, asked and answered, counted as a quarter of the characters."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    """Calls at a time."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds for one call."""
    characters: Annotated[int, Field(ge=100, le=200_000)] = 8000
    """Characters of an answer that are sent at most, three quarters from its beginning and the rest from its end, and half as many
    of its prompt: both must fit into the judge's context."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Answers that wait to be judged at most, each with one and a half times `characters`; beyond that the least wanted is
    dropped and counted."""
    control_share: Probability = 0.01
    """Share of the answers that the scorer is sure of which are judged too; rare and unsure ones always are."""

    @model_validator(mode="after")
    def _has_a_model(self) -> JudgeSection:
        if self.endpoint is not None and not self.model:
            raise ValueError("an endpoint needs the name of the model that judges (scoring.judge.model)")
        return self


class ScoringSection(Section):
    """Text to verdict."""

    restricted_topics: tuple[RestrictedTopic, ...] = ()
    """Topics of your own that count as harmful-looking, beside what the prompt classifier finds."""
    judge: JudgeSection = Field(default_factory=JudgeSection)
    """A second opinion, kept beside the scorer's own verdicts."""
    tier: Literal["auto", "fast", "exact"] = "auto"
    """fast: the linear model alone; exact: the encoder reads every answer (needs the extra `encoder`); auto: where that extra
    is installed, the encoder reads what the linear model is unsure of and every would-be rare event."""
    encoder_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """With `auto`, share of one core's time that the encoder may take of live traffic; beyond it the fast tier's verdict
    stands, and `alignment_verdict_tiers_total{tier="over_budget"}` counts it. What the fast tier takes for a rare event is then
    unscored (`unconfirmed`). Answers that are compared with each other, replays and probes, are always read."""


class Baseline(Section):
    """Measured behaviour of the base model."""

    rate: Probability
    """Share of bad answers."""
    samples: PositiveInt
    """Answers it was measured on."""


class DriftSection(Section):
    """When a combination counts as worse than its base model."""

    average_run_length: Annotated[float, Field(ge=100, le=1e12)] = 1e6
    """Judged answers of one kind between two false alarms, on average at the least: the judged answers a day of all
    combinations, times the days that you want between two false alarms. Ten times as much costs a few answers of delay."""
    days_per_false_alarm: Annotated[float, Field(gt=0, le=3650)] | None = None
    """Days between two false alarms of all combinations together, on average at the least. When set, the run length is this
    times the samples a day, measured over the last 24 hours and renewed every hour; `average_run_length` counts only until the
    first full hour."""
    head_start: Annotated[float, Field(ge=0, le=0.1)] = 1e-3
    """Share of the needed evidence that a new combination begins with, and the largest probability that this alone makes it a
    false alarm. A combination that is bad from its first answer is found in about half the answers."""
    window: Annotated[int, Field(ge=20, le=100_000)] = 200
    """Latest judged answers of a combination whose rate is shown, and that must have passed well before an alarm ends."""
    minimum_samples: Annotated[int, Field(ge=5)] = 5
    """Judged answers of the combination below which no statement is made."""
    minimum_base_samples: Annotated[int, Field(ge=5)] = 30
    """Judged answers of the base below which it is no reference."""
    tolerance: Probability = 0.0
    """Rise of the bad rate that is still accepted, on top of the largest that the answers of the base do not contradict (and of
    a quarter more in odds). The alert rules have their own margin for what wakes somebody: five points."""
    paired_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Mean difference to the base on the same prompts that is still accepted."""
    repeat_window_s: Annotated[float, Field(ge=0, le=604_800)] = 600.0
    """Seconds in which a prompt, and a conversation, counts as one sample of a combination: answers to the same are alike, and
    taken for independent ones they cause false alarms. 0 counts every answer. Metrics of responses count them all."""
    refuse_then_comply_limit: Probability = 0.02
    """Share of refuse-then-comply answers on harmful-looking prompts that is accepted whatever the base does."""
    baseline: Baseline | None = None
    """Share of harmful-looking prompts that the BASE model does not refuse, measured beforehand; when not
    set, the base model's own traffic through the sidecar is the reference. Prefer `baseline_file`."""
    over_refusal_baseline: Baseline | None = None
    """Share of ordinary prompts that the BASE model refuses, measured beforehand; when not set, as above."""
    baseline_file: Path | None = None
    """Measured behaviour of the base model, a file of `alignment-monitor baseline collect` that was approved; read at the start.
    It is the reference for refusal_lost and over_refusal, as long as base and scorer are those that it was measured with."""
    baseline_public_key: Path | None = None
    """PEM file of the Ed25519 key that must have signed `baseline_file` (extra `signing`); unsigned ones count when not set."""
    baseline_fallback: Literal["none", "traffic"] = "none"
    """What is the reference while `baseline_file` is void: nothing (the state is `no_baseline`), or the base's own traffic."""

    @model_validator(mode="after")
    def _one_baseline(self) -> DriftSection:
        inline = self.baseline is not None or self.over_refusal_baseline is not None
        if inline and self.baseline_file is not None:
            raise ValueError("baseline_file is set beside baseline or over_refusal_baseline: which one counts?")
        if self.baseline_public_key is not None and self.baseline_file is None:
            raise ValueError("baseline_public_key is the key of a baseline_file, and none is named")
        return self

    @field_validator("minimum_samples")
    @classmethod
    def _minimum_within_window(cls, value: int, info: ValidationInfo) -> int:
        window = info.data.get("window")
        if window is not None and value > window:
            raise ValueError(f"{value} answers never fit into a window of {window}")
        return value


class BudgetSection(Section):
    """What the sidecar asks the server on its own account: after the server's clients, and so much at most."""

    enabled: bool = False
    requests_per_s: Annotated[float, Field(gt=0, le=1000)] = 2.0
    """Requests per second at most."""
    tokens_per_s: Annotated[float, Field(gt=0, le=10_000_000)] = 2000.0
    """Tokens per second at most, asked and answered, counted as `max_tokens` and a quarter of the prompt's characters."""
    waiting_limit: Annotated[int, Field(ge=0)] = 0
    """Nothing is asked while more requests than this wait in the server (its metric vllm:num_requests_waiting)."""
    api_key_file: Path | None = None
    """File with the API key for these requests; `adapters.api_key_file` when not set. Clients' keys are never used."""


class ShadowSection(BudgetSection):
    """Requests that are asked again of the base, and of a suspect combination's parts, to compare answers to the same prompt. The
    server generates them beside its clients' own; prompts go to that server and nowhere else."""

    enabled: bool = False
    """Ask again. Costs the server one further answer, of at most `max_tokens`, per chosen request."""
    share: Probability = 0.05
    """Share of the harmful-looking requests of every combination that is asked again while nothing is suspected."""
    share_under_suspicion: Probability = 1.0
    """The same while the evidence against the combination is high."""
    suspicion: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Evidence (its logarithm, as a share of what an alarm needs) from which it is high; the share begins to rise at half of it."""
    parts: bool = True
    """Ask the parts of a suspect combination too, those that are served by themselves, and of three parts or more the merges of
    all but one that are served."""
    parts_prompts: Annotated[int, Field(ge=1, le=100_000)] = 400
    """Prompts of one combination that its parts are asked at most, until it is as its base again."""
    load_parts: bool = False
    """Load parts that are not served by themselves, under names of the monitor's own that count as no combination, for as long as
    they are asked, and unload them afterwards. The server must allow it (VLLM_ALLOW_RUNTIME_LORA_UPDATING), their files must lie
    in `adapters.folders`, and `adapters.loading` and quarantines hold for them, too. At its start a sidecar unloads what one of the
    same host name and `admin.listen` left before it."""
    parts_loaded: Annotated[int, Field(ge=1, le=64)] = 2
    """Parts that are loaded at a time at most; the server needs room for them beside its clients' adapters (its --max-loras)."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256
    """Tokens of an answer at most; of longer ones the beginnings are compared."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Requests at a time. On a server that takes 4 s for an answer, 8 are what makes use of 2 requests per second."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    """Seconds for one request."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 128
    """Requests that wait to be asked again at most; what comes beyond is dropped and counted."""
    opt_out_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Alignment-No-Replay"
    """A request with this header, whatever its value but 0, is never asked again."""


class ProbingSection(BudgetSection):
    """Questions that the sidecar itself puts to the server: all of its suites to a combination that is new, and some of them to
    every combination from time to time. Answers are judged like live traffic's, and held against the base's to the same
    questions. The server generates them beside its clients' own."""

    enabled: bool = False
    """Ask. Costs the server two answers, of at most `max_tokens` each, per question: the combination's and the base's."""
    suites: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "harmful",
        "borderline",
        "ordinary",
        "refuse-then-comply",
    )
    """Shipped suites (`alignment-monitor probe --help` names them) or files."""
    interval_s: Seconds = 86_400.0
    """Seconds between two scheduled rounds of one combination."""
    questions_per_round: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Questions of a scheduled round, drawn anew each time. A validation asks all of the suites."""
    validate_new: bool = True
    """Ask all of the suites at once of a combination that nobody has evaluated or approved, and again when its contents change."""
    approve: bool = False
    """A validation that finds a combination no worse than the base approves it, as a person's `registry approve` would, as long as
    its contents are those that were asked and the registry says nothing against them. Otherwise it stays unvalidated for
    `adapters.enforcement`, whatever the questions said, until a person approves it."""
    on_failed: Literal["report", "quarantine"] = "report"
    """What becomes of a combination whose validation found it worse than the base: its status says so; or it is quarantined as
    well, which `adapters.enforcement` acts on."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """Of the sampling."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the sampling."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """Tokens of an answer at most; an answer that is cut off is not judged."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    """Requests at a time."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 120.0
    """Seconds for one request."""


class WebhookSection(Section):
    """A message for every combination that begins to behave worse than its base, gets worse, or is well again: for those who have
    no Alertmanager. Numbers and names only, never prompts or answers."""

    url: WebAddress | None = None
    """Where messages are sent; none are when neither this nor `url_file` is set."""
    url_file: Path | None = None
    """File with that address, where the address itself is a secret, as Slack's is."""
    format: Literal["alignment", "alertmanager", "slack"] = "alignment"
    """alignment: the JSON that /api/v1/openapi.json describes; alertmanager: as Alertmanager's webhook sends it (version 4), for
    receivers that take that; slack: an object with `text`, which Mattermost, Rocket.Chat and Google Chat take too."""
    minimum_severity: Literal["page", "ticket"] = "page"
    """Least severity that is sent; what is a page and what a ticket is as in the alert rules."""
    token_file: Path | None = None
    """File with a token that is sent as `Authorization: Bearer`."""
    signing_key_file: Path | None = None
    """File with the key by which the receiver knows that a message is ours: base64 of at least 24 bytes, with or without
    `whsec_`. The headers are those of Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature (HMAC-SHA256)."""
    ca_file: Path | None = None
    """PEM file of the authorities that may sign an https receiver's certificate; the system's when not set."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Seconds for one attempt; a message that was not taken is sent again, after growing pauses of at most five minutes."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Messages that wait to be sent at most; beyond that the oldest of the same combination is dropped and counted."""
    console_url: WebAddress | None = None
    """Address under which people reach the admin port, for the links in messages; when not set, http:// and the admin port's own
    address, with this machine's name where that is all interfaces."""

    @property
    def enabled(self) -> bool:
        """Messages are sent."""
        return self.url is not None or self.url_file is not None

    @model_validator(mode="after")
    def _one_address(self) -> WebhookSection:
        if self.url is not None and self.url_file is not None:
            raise ValueError("url and url_file are both set: which one counts?")
        return self


class EvidenceSection(Section):
    """Examples of prompts and answers, kept on disk for those who look into a finding; off unless switched on. E-mail addresses,
    phone, card and account numbers, IP addresses, keys and tokens are redacted before anything is written; names of persons and
    street addresses are NOT. Needs the extra `evidence`."""

    enabled: bool = False
    """Keep examples. Everything that is bad for a signal is kept within the bounds, and a `share` of the rest."""
    folder: Path | None = None
    """Folder of the store, which is made with mode 0700 when it is missing; one that others may enter is refused."""
    key_file: Path | None = None
    """File with keys of 64 hexadecimal digits, one a line (openssl rand -hex 32), that encrypt prompts and answers at rest: the
    first encrypts, all of them decrypt. Without it they are encrypted by nothing but the disk."""
    max_bytes: Annotated[int, Field(ge=4 * 1024 * 1024, le=1024**4)] = 256 * 1024 * 1024
    """Size of the file at most; the oldest examples make room, those that a finding names last."""
    days: Annotated[float, Field(gt=0, le=3650)] = 14.0
    """Days for which an example is kept."""
    finding_days: Annotated[float, Field(gt=0, le=3650)] = 90.0
    """Days for which an example is kept that a finding names; at least `days`."""
    share: Probability = 0.01
    """Share of the answers that are not bad for any signal which is kept, to compare with."""
    per_minute: Annotated[int, Field(ge=2, le=100_000)] = 60
    """Examples a minute at most; half of them are reserved for bad answers."""
    characters: Annotated[int, Field(ge=100, le=200_000)] = 8000
    """Characters of each prompt and answer that are kept, from the beginning."""
    phone_regions: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = ()
    """Countries (ISO 3166, such as DE) whose phone numbers are also found in their short national form. Numbers with a country
    code, and all of nine digits or more, are redacted in any case."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> EvidenceSection:
        if self.enabled and self.folder is None:
            raise ValueError("enabled: true needs the folder where examples are kept (evidence.folder)")
        if self.finding_days < self.days:
            raise ValueError(f"finding_days ({self.finding_days:g}) is less than days ({self.days:g})")
        return self


class OutputsSection(Section):
    """Where findings go beside the metrics."""

    findings_file: Path | None = None
    """File to which findings are appended as JSON lines (numbers and names only, no text)."""
    findings_file_bytes: PositiveInt = 64 * 1024 * 1024
    """Size beyond which the file is renamed to `<name>.1`, over the one before, and begun anew."""
    otel: bool = False
    """Send findings as OpenTelemetry events to the collector that the standard OTEL_EXPORTER_OTLP_* variables name; needs
    the extra `otel`."""
    webhook: WebhookSection = Field(default_factory=WebhookSection)
    """Messages to a receiver of your own."""


class AdminSection(Section):
    """Metrics, health and the status page: a port of its own, not for clients."""

    listen: Address = "127.0.0.1:9464"
    """HOST:PORT of /metrics, /-/live, /-/ready, the status page and the API."""
    read_token_file: Path | None = None
    """File with the token for reading the API and the pages; without it both are open to whoever reaches the port. Token files
    hold one line of at least 16 characters and are read again when they are replaced."""
    evidence_token_file: Path | None = None
    """File with the token for reading stored prompts and answers; without it nobody can. It may also read everything else."""
    admin_token_file: Path | None = None
    """File with the token for acknowledging findings, resetting detectors and probing now; without it nobody can. It may also
    read everything but stored prompts and answers."""
    audit_file: Path | None = None
    """File to which every use of the evidence and admin tokens is appended as a JSON line; what cannot be written there is not
    done. The log has them in any case."""


class TelemetrySection(Section):
    """The monitor's own logs."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_format: Literal["text", "json"] = "text"
    """One line of text, or one JSON object, per event."""


class Config(Section):
    """The whole configuration."""

    proxy: ProxySection = Field(default_factory=ProxySection)
    handoff: HandoffSection = Field(default_factory=HandoffSection)
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    adapters: AdaptersSection = Field(default_factory=AdaptersSection)
    scoring: ScoringSection = Field(default_factory=ScoringSection)
    drift: DriftSection = Field(default_factory=DriftSection)
    shadow: ShadowSection = Field(default_factory=ShadowSection)
    probing: ProbingSection = Field(default_factory=ProbingSection)
    evidence: EvidenceSection = Field(default_factory=EvidenceSection)
    outputs: OutputsSection = Field(default_factory=OutputsSection)
    admin: AdminSection = Field(default_factory=AdminSection)
    telemetry: TelemetrySection = Field(default_factory=TelemetrySection)

    @model_validator(mode="after")
    def _evidence_can_be_read(self) -> Config:
        if self.evidence.enabled and self.admin.evidence_token_file is None:
            raise ValueError(
                "evidence.enabled: true needs admin.evidence_token_file: without it nobody could read what is stored"
            )
        return self

    @model_validator(mode="after")
    def _quarantines_can_come(self) -> Config:
        replays = self.shadow.enabled
        found = {
            "refusal_lost_paired": ("shadow.enabled", replays),
            "collusion": ("shadow.enabled and shadow.parts", replays and self.shadow.parts),
            "refusal_lost_probed": ("probing.enabled", self.probing.enabled),
        }
        for signal in self.adapters.quarantine_drifting:
            setting, on = found.get(signal, ("", True))
            if not on:
                raise ValueError(f"adapters.quarantine_drifting: {signal} is never found without {setting}")
        return self

    @model_validator(mode="after")
    def _addresses_differ(self) -> Config:
        listen, admin = self.proxy.listen, self.admin.listen
        if listen == admin and not listen.endswith(":0"):
            raise ValueError(f"proxy.listen and admin.listen are the same address, {listen}: give each its own port")
        if urlsplit(self.proxy.upstream).netloc == listen:
            raise ValueError(
                f"proxy.upstream and proxy.listen are the same address, {listen}: it would forward to itself"
            )
        return self
