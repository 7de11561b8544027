"""Whether the configured baseline speaks of what is running now. When it does not, it is void, and everybody is told.

A baseline is of one base model, judged by one scorer. Held against another model or another scorer's verdicts it would
raise alarms or hide them. So it is not used then, and nothing takes its place unless the operator said so
(`drift.baseline_fallback`): signals that need a reference say `no_baseline`.

A new model of prompt risk voids it too, although it judges every answer as before. Live answers are counted by the kind of
prompt that it sees in theirs: with it other prompts are watched, easier or harder ones, and a rate over those says nothing
about a rate over the former. That holds as well where the suite's word counted (`counted_as`), because what is held against
the baseline is live traffic.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Final

from monitor.baseline.frozen import Baseline, BaselineError, read_baseline
from monitor.baseline.signature import check_signature
from monitor.config.model import DriftSection
from monitor.drift.interface import Reference
from monitor.telemetry.metrics import BaselineMetrics

log = logging.getLogger(__name__)

DAMAGED: Final = "damaged"
NOT_SIGNED: Final = "not_signed"
UNAPPROVED: Final = "unapproved"
SCORER_CHANGED: Final = "scorer_changed"
BASE_CHANGED: Final = "base_changed"
VOID_REASONS: Final = (DAMAGED, NOT_SIGNED, UNAPPROVED, SCORER_CHANGED, BASE_CHANGED)
"""damaged: the file cannot be read or was changed. not_signed: not by the key that must have signed it."""


class BaselineGuard:
    """The baseline of the configuration's file, and why it is void now."""

    def __init__(
        self, section: DriftSection, scorer: str, scorer_version: str, risk_version: str, metrics: BaselineMetrics
    ) -> None:
        self._metrics = metrics
        self._fallback = section.baseline_fallback
        self.configured = section.baseline_file is not None
        """A baseline's file is named; without one, nothing here has an effect."""
        self.baseline: Baseline | None = None
        self.reason = ""
        """Why the baseline is void, one of VOID_REASONS; "" when it is in force or none is configured."""
        self._detail = ""
        self._fixed = ""
        """A reason that lasts as long as this process: nothing that is served can change it."""
        for reason in VOID_REASONS:
            metrics.void(reason)
        if section.baseline_file is None:
            return
        try:
            self.baseline = read_baseline(section.baseline_file)
        except BaselineError as error:
            self._void_for_good(DAMAGED, str(error))
            return
        content = self.baseline.content
        metrics.show(self.baseline.sha256, content.base, content.scorer_version, content.suite)
        if section.baseline_public_key is not None:
            try:
                check_signature(self.baseline, section.baseline_public_key)
            except BaselineError as error:
                self._void_for_good(NOT_SIGNED, str(error))
                return
        if self.baseline.approval is None:
            self._void_for_good(UNAPPROVED, "nobody has approved it: alignment-monitor baseline approve")
        elif (content.scorer, content.scorer_version) != (scorer, scorer_version):
            detail = f"it was judged by {content.scorer} {content.scorer_version}, and this scorer is {scorer} {scorer_version}"
            if content.risk_version and content.risk_version != risk_version:
                detail += f", with prompt risk {risk_version} instead of {content.risk_version}: other prompts look harmful to it"
            self._void_for_good(SCORER_CHANGED, detail)

    @property
    def references(self) -> Mapping[str, Reference]:
        """Signal -> what it is held against; empty while the baseline is void."""
        if self.baseline is None or self.reason:
            return {}
        return {one.signal: Reference(one.bad, one.samples, one.q_null) for one in self.baseline.content.measured}

    @property
    def may_use_traffic(self) -> bool:
        """The base's own traffic may be the reference: the operator said so, and nothing better is in force."""
        return not self.configured or (bool(self.reason) and self._fallback == "traffic")

    def check(self, base: Collection[str], base_digest: str) -> bool:
        """Hold the baseline against the base's served names and digest (empty for what is not known); True when that changed
        anything."""
        before = self.reason
        self.reason, detail = (self._fixed, self._detail) if self._fixed else self._of_base(base, base_digest)
        if self.reason != before:
            self._detail = detail
            self._tell()
        return self.reason != before

    def note(self) -> str:
        """A sentence for the status page, "" when there is nothing to say."""
        if not self.reason:
            return ""
        instead = "the base's own traffic is used instead" if self.may_use_traffic else "nothing is held against it"
        return f"The baseline is void ({self.reason}): {self._detail}; {instead}."

    def _of_base(self, base: Collection[str], base_digest: str) -> tuple[str, str]:
        if self.baseline is None:
            return "", ""
        content = self.baseline.content
        if base_digest and content.base_digest:
            if base_digest != content.base_digest:
                return (
                    BASE_CHANGED,
                    f"it is of the base {content.base_digest[:12]}..., and {base_digest[:12]}... is served",
                )
        elif base and content.base not in base:
            return BASE_CHANGED, f"it is of the base {content.base}, and {', '.join(sorted(base))} is served"
        return "", ""

    def _void_for_good(self, reason: str, detail: str) -> None:
        self._fixed = self.reason = reason
        self._detail = detail
        self._tell()

    def _tell(self) -> None:
        for reason in VOID_REASONS:
            self._metrics.void(reason).set(1 if reason == self.reason else 0)
        if self.reason:
            log.error("%s", self.note())
        elif self.baseline is not None:
            log.info("the baseline %s is in force again", self.baseline.sha256[:12])
