"""Metrics with labels whose series are found fast and forgotten together."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


class Series(Generic[M]):
    """The series of one metric by their label values, the first of which is the combination (or the endpoint).

    prometheus-client takes a lock and builds strings at every look-up, which would cost more than decoding an exchange.
    Only the event loop's thread creates and drops series, so this table needs no lock.
    """

    def __init__(self, metric: M, names: int = 1) -> None:
        """names: how many of the first labels hold a combination."""
        self._metric = metric
        self._names = names
        self._found: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        """The series with these label values, created at zero when it is new."""
        series = self._found.get(values)
        if series is None:
            series = self._found[values] = self._metric.labels(*values)
        return series

    def drop(self, *values: str) -> None:
        """Remove one series, if there is one."""
        if self._found.pop(values, None) is not None:
            self._metric.remove(*values)

    def forget(self, name: str) -> None:
        """Remove all series of this combination (or endpoint)."""
        for values in [values for values in self._found if name in values[: self._names]]:
            self.drop(*values)


class _Forgetful(Protocol):
    def forget(self, name: str) -> None: ...


class PerCombination:
    """Metrics with a `combination` label, which can be forgotten together."""

    def __init__(self) -> None:
        self._kept: list[_Forgetful] = []

    def _keep(self, metric: M, names: int = 1) -> Series[M]:
        series = Series(metric, names)
        self._kept.append(series)
        return series

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        for series in self._kept:
            series.forget(combination)
