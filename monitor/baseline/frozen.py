"""The baseline's file: content, its hash, an approval bound to that hash, and a signature over both.

The hash is SHA-256 over the content as JSON with sorted keys and without blanks. A file whose content was changed is
damaged, whoever changed it. That alone stops slips, not people: who can write the file can compute the hash. Where that
matters, sign it, and give the sidecar the public key (`drift.baseline_public_key`).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitor.config.load import ConfigError, describe_validation
from monitor.signals import SIGNALS

FORMAT: Final = "alignment-monitor baseline 1"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Date = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class BaselineError(ConfigError):
    """A baseline's file cannot be used; the message says which and why."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class MeasuredSignal(_Entry):
    """One signal of the base model."""

    signal: str
    stratum: Literal["harmful_looking", "ordinary"]
    bad: Count
    """x0: answers that show the signal's bad event."""
    samples: Annotated[int, Field(gt=0)]
    """n0: judged answers."""
    prompts: Annotated[int, Field(gt=0)]
    """Different prompts among them."""
    effective: Annotated[float, Field(gt=0)]
    """Independent answers that say as much, since answers to one prompt resemble each other."""
    q_null: Share
    """Rate that counts as unchanged (monitor.stats.evidence.null_rate of the effective number); the tolerance comes on top."""

    @model_validator(mode="after")
    def _is_a_count(self) -> MeasuredSignal:
        if self.signal not in {signal.name for signal in SIGNALS}:
            raise ValueError(f"there is no signal {self.signal!r}")
        if self.bad > self.samples:
            raise ValueError(f"{self.bad} bad answers among {self.samples} is not a count")
        return self

    @property
    def rate(self) -> float:
        """Share of bad answers."""
        return self.bad / self.samples


class Content(_Entry):
    """What was measured, of what, with what. Anything else than this is not part of the hash."""

    format: Literal["alignment-monitor baseline 1"] = FORMAT
    base: str
    """Served name of the base model."""
    base_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Digest of its files (as `registry` computes it), "" when they could not be read."""
    scorer: str
    scorer_version: str
    """Over all that judges, prompt risk among it."""
    risk_version: str = ""
    """The model of prompt risk; "" in files from before it had a version of its own."""
    suite: str
    suite_version: Sha256
    """Hash over the prompts."""
    decoding: dict[str, float]
    """temperature, top_p, max_tokens, seed."""
    counted_as: Literal["suite", "scorer"]
    """Whose word decided which answers count for a signal: the suite's strata, or the scorer's, as in live traffic."""
    recognised: Share
    """Share of the suite's harmful-looking prompts that the scorer, too, takes for that. Only those it does are watched live."""
    asked: Count
    not_judged: dict[str, int] = Field(default_factory=dict)
    """Why answers are in no rate, with their number."""
    broken_off: bool = False
    date: Date
    measured: tuple[MeasuredSignal, ...]

    @model_validator(mode="after")
    def _signals_differ(self) -> Content:
        names = [one.signal for one in self.measured]
        if len(set(names)) < len(names):
            raise ValueError("a signal stands twice")
        return self

    @property
    def sha256(self) -> str:
        """Hash over the canonical content; a `risk_version` that is not known is no part of it, as in the files without one."""
        content = self.model_dump(mode="json", exclude=None if self.risk_version else {"risk_version"})
        return hashlib.sha256(canonical(content)).hexdigest()


class Approval(_Entry):
    """A person's word that combinations are to be held against this."""

    by: Annotated[str, Field(min_length=1)]
    date: Date
    sha256: Sha256
    """What was approved."""


class Baseline(_Entry):
    """The whole file."""

    content: Content
    sha256: Sha256
    approval: Approval | None = None
    signature: str = ""
    """Ed25519 over `signed`, hexadecimal; "" for none."""

    @property
    def signed(self) -> bytes:
        """What a signature covers: the content's hash and the approval."""
        approval = self.approval.model_dump(mode="json") if self.approval else None
        return canonical({"format": FORMAT, "sha256": self.sha256, "approval": approval})


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and without blanks, in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def frozen(content: Content) -> Baseline:
    """The file of this content, neither approved nor signed."""
    return Baseline(content=content, sha256=content.sha256)


def read_baseline(file: Path) -> Baseline:
    """A baseline whose hash was checked. Raises BaselineError."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BaselineError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB, which is no baseline")
        found = Baseline.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BaselineError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise BaselineError(describe_validation(error, str(file))) from error
    if found.content.sha256 != found.sha256:
        raise BaselineError(
            f"{file}: its content was changed: the hash is {found.content.sha256[:12]}..., and the file says {found.sha256[:12]}..."
        )
    if found.approval is not None and found.approval.sha256 != found.sha256:
        raise BaselineError(f"{file}: the approval is of another content, {found.approval.sha256[:12]}...")
    return found


def write_baseline(baseline: Baseline, file: Path) -> None:
    """Write the file in one step."""
    half = file.with_name(f"{file.name}.{os.getpid()}")
    half.write_text(json.dumps(baseline.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    half.replace(file)
