"""What is this adapter made of? Weight forensics among known adapters.

A merge records no parents, so they are looked for in its weights. In this order, the next only when the one before left more
than `EXACT` unexplained: a weighted sum of updates (cat, svd, any refactoring of them); a weighted sum of factors (PEFT's
`linear`); the same, factored anew; a sum that was cut to a lower rank; factors with dropped entries (ties, dare), whose weights
show but whose update cannot be rebuilt; known adapters inside an otherwise unknown one. What is only similar is no part: it is
listed as `nearest`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from monitor.adapters.factorwise import MAX_CROSSED, crossed, linear, pruned
from monitor.adapters.fit import Fit, distinct, fit_parts
from monitor.adapters.gram import Gram
from monitor.adapters.subspaces import INSIDE, containment, fit_truncated
from monitor.adapters.weights import AdapterWeights, Wide

EXACT: Final = 0.05
"""Relative residual up to which a composition is stated as such."""
SAME_WEIGHT: Final = 0.02
"""A single part with a weight this close to one is the same adapter."""
MAX_CANDIDATES: Final = 32
"""Known adapters that are fitted, the closest ones: what shares no direction with the adapter cannot be in it."""
MAX_FACTOR_CANDIDATES: Final = 16
"""Known adapters whose factors are compared one by one, the closest ones."""
LEAST_COSINE: Final = 0.004
LEAST_WEIGHT: Final = 0.01
"""Weight, relative to the largest, below which a part of a sum that was cut is an artefact of the cut."""
NEARLY: Final = 0.35
"""Residual up to which a sum that was cut is tried with more parts."""
NEAREST: Final = 3
RELATED: Final = 0.1
"""Cosine from which it is asked whether one adapter holds the other."""


@dataclass(frozen=True, slots=True)
class PartFound:
    """One known adapter inside another."""

    name: str
    weight: float | None
    """Factor before the known adapter's update; None when it is in there with a weight that could not be told."""
    coverage: float = 1.0
    """Share of the known adapter's own energy that lies in modules which the adapter changes at all."""
    same_as: tuple[str, ...] = ()
    """Known adapters that are nearly equal to this one, so that it may as well be one of them."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What an adapter is made of, as far as the known ones tell."""

    adapter: str
    verdict: str
    """same, scaled, subset (fewer modules), merge, pruned_merge (weights only), contains, or unexplained."""
    confidence: str
    """high: the parts explain all but 5%; medium: the parts are certain, the rest or the exact weights are not; none: nothing
    found."""
    parts: tuple[PartFound, ...]
    residual: float | None
    """Norm of what the parts leave unexplained, relative to the adapter's own; None when the update cannot be rebuilt."""
    method: str
    """How they were probably put together; "" when that does not show."""
    weights_vary: bool = False
    """The weights differ from module to module: those stated are averages."""
    nearest: tuple[tuple[str, float], ...] = ()
    """Closest known adapters with their cosines."""
    contained_in: tuple[str, ...] = ()
    """Known adapters that hold this one."""
    notes: tuple[str, ...] = ()
    """What was left out of the comparison."""
    known: int = 0
    """Number of known adapters it was compared with."""
    milliseconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        values["nearest"] = [{"name": name, "cosine": cosine} for name, cosine in self.nearest]
        return values

    def sentence(self) -> str:
        """One line: `0.7 alpha + 1.3 beta (residual 0.001)`."""
        terms = " + ".join(f"{'?' if one.weight is None else f'{one.weight:.3g}'} {one.name}" for one in self.parts)
        if self.verdict == "unexplained":
            closest = f"; closest {self.nearest[0][0]} (cosine {self.nearest[0][1]:.2f})" if self.nearest else ""
            return f"not made of the {self.known} known adapters{closest}"
        if self.verdict == "contains":
            terms += " + something unknown"
        rest = "not known" if self.residual is None else f"{self.residual:.3f}"
        return f"{terms.replace('+ -', '- ')} (residual {rest})"


@dataclass(slots=True)
class _Case:
    """The question, and what was computed for it so far."""

    query: AdapterWeights
    known: Sequence[AdapterWeights]
    """The candidates, closest first left out for near-duplicates."""
    cosines: Wide
    twins: dict[str, tuple[str, ...]] = field(default_factory=dict)


def identify(query: AdapterWeights, known: Sequence[AdapterWeights], gram: Gram | None = None) -> Composition:
    """Find what an adapter is made of.

    gram: keeps inner products from one call to the next. Raises ValueError when there is nothing to compare with.
    """
    begun = time.perf_counter()
    gram = gram or Gram()
    known = [one for one in known if one.folder != query.folder]
    fitting = [one for one in known if comparable(query, one)]
    notes = [f"{query.name}: {what}" for what in query.unhandled]
    if len(fitting) < len(known):
        notes.append(f"{len(known) - len(fitting)} known adapters change none of its modules")
    cosines = gram.cosines(query, fitting)
    case = _candidates(query, fitting, cosines, gram)
    found = _explain(case, gram)
    nearest = [(fitting[index].name, round(float(cosine), 4)) for index, cosine in _closest(cosines, NEAREST)]
    notes += [f"{one.name}: {what}" for one in case.known for what in one.unhandled if _names(found, one)]
    return replace(
        found,
        nearest=tuple(nearest),
        contained_in=_holders(case) if found.verdict not in ("same", "scaled") else (),
        notes=tuple(notes),
        known=len(known),
        milliseconds=round(1000 * (time.perf_counter() - begun), 1),
    )


def comparable(query: AdapterWeights, one: AdapterWeights) -> bool:
    """True when both change a module in common, and of one base model."""
    common = query.modules & one.modules
    return bool(common) and _same_shapes(query, one)


def _names(found: Composition, one: AdapterWeights) -> bool:
    return any(part.name == one.name for part in found.parts)


def _closest(cosines: Wide, count: int) -> list[tuple[int, float]]:
    order = np.argsort(-np.abs(cosines))[:count]
    return [(int(index), float(cosines[index])) for index in order]


def _candidates(query: AdapterWeights, known: Sequence[AdapterWeights], cosines: Wide, gram: Gram) -> _Case:
    """The closest known adapters, one of every group of near-duplicates."""
    near = [index for index, cosine in _closest(cosines, MAX_CANDIDATES) if abs(cosine) >= LEAST_COSINE]
    near = _of_one_base(near, known)
    chosen = [known[index] for index in near]
    gram.ensure([*chosen, query])
    matrix = gram.matrix(chosen, query.modules)
    kept = distinct(matrix, cosines[near])
    twins: dict[str, list[str]] = {}
    for index, one in enumerate(chosen):
        if index not in kept:
            like = max(kept, key=lambda other: abs(matrix[index, other]) / math.sqrt(matrix[other, other]))
            twins.setdefault(chosen[like].name, []).append(one.name)
    return _Case(
        query,
        [chosen[index] for index in kept],
        cosines[near][kept],
        {name: tuple(others) for name, others in twins.items()},
    )


def _of_one_base(near: Sequence[int], known: Sequence[AdapterWeights]) -> list[int]:
    """The closest first, without those that differ from a closer one in the shape of a module, for they are of another base."""
    kept: list[int] = []
    for index in near:
        if all(_same_shapes(known[index], known[other]) for other in kept):
            kept.append(index)
    return kept


def _same_shapes(one: AdapterWeights, other: AdapterWeights) -> bool:
    return all(one.shape(module) == other.shape(module) for module in one.modules & other.modules)


def _explain(case: _Case, gram: Gram) -> Composition:
    nothing = Composition(case.query.name, "unexplained", "none", (), None, "")
    if not case.known:
        return nothing
    products = np.array([gram.product(case.query, one) for one in case.known])
    fit = fit_parts(gram.matrix(case.known, case.query.modules), products, gram.product(case.query, case.query))
    if fit.parts and fit.residual <= EXACT:
        return _stated(
            case, gram, fit.parts, fit.weights, fit.residual, _method_of(case, fit), vary=_vary(case, gram, fit)
        )
    return _by_factors(case, gram, fit) or _contents(case, fit) or nothing


def _by_factors(case: _Case, gram: Gram, fit: Fit) -> Composition | None:
    """The merges that no plain sum explains."""
    near = [index for index, _ in _closest(case.cosines, MAX_FACTOR_CANDIDATES)]
    shortlist = [case.known[index] for index in near]
    found = linear(case.query, shortlist)
    if found is None or found.residual > EXACT:
        found = crossed(case.query, shortlist)
    if found is not None and found.residual <= EXACT:
        parts = [near[part] for part in found.parts]
        return _stated(case, gram, parts, found.weights, found.residual, found.method)
    cut = _cut(case, gram, fit)
    if cut is not None:
        return cut
    found = pruned(case.query, shortlist)
    if found is None:
        return None
    parts = [near[part] for part in found.parts]
    stated = _stated(case, gram, parts, found.weights, fit.residual, found.method)
    return replace(stated, verdict="pruned_merge", confidence="medium", residual=None)


def _cut(case: _Case, gram: Gram, fit: Fit) -> Composition | None:
    """A weighted sum that was cut to a lower rank: first of the parts that show, then with those that the cut nearly hid."""
    rank = max(case.query.rank(module) for module in case.query.modules)
    closest = [index for index, _ in _closest(case.cosines, MAX_CROSSED)]
    for parts in (list(fit.parts), closest):
        if not 1 < len(parts) <= MAX_CROSSED or _rank_of(case, parts) <= rank:
            continue
        weights, residual, settled = _fit_cut(case, parts)
        large = np.abs(weights) > LEAST_WEIGHT * np.abs(weights).max()
        if residual <= EXACT and not large.all():
            parts = [part for part, kept in zip(parts, large, strict=True) if kept]
            weights, residual, settled = _fit_cut(case, parts)
        if residual <= EXACT:
            found = _stated(case, gram, parts, weights, residual, f"svd, cut to rank {rank}")
            return found if settled else replace(found, confidence="medium")
        if residual > NEARLY:
            return None
    return None


def _rank_of(case: _Case, parts: Sequence[int]) -> int:
    """Rank of the sum of these parts, at most, where it is highest."""
    known = [case.known[part] for part in parts]
    return max(sum(one.rank(module) for one in known if module in one.modules) for module in case.query.modules)


def _fit_cut(case: _Case, parts: Sequence[int]) -> tuple[Wide, float, bool]:
    return fit_truncated(case.query, [case.known[part] for part in parts])


def _contents(case: _Case, fit: Fit) -> Composition | None:
    """Known adapters inside an otherwise unknown one."""
    parts = []
    for one, cosine in zip(case.known, case.cosines, strict=True):
        if abs(cosine) < RELATED / 5:
            continue
        held = containment(case.query, one)
        if held.share >= INSIDE:
            weight = None if math.isnan(held.weight) else round(held.weight, 4)
            parts.append(PartFound(one.name, weight, same_as=case.twins.get(one.name, ())))
    if not parts:
        return None
    return Composition(case.query.name, "contains", "medium", tuple(parts), round(fit.residual, 4), "")


def _holders(case: _Case) -> tuple[str, ...]:
    """Known adapters that hold this one, and more."""
    return tuple(
        one.name
        for one, cosine in zip(case.known, case.cosines, strict=True)
        if abs(cosine) >= RELATED and containment(one, case.query).share >= INSIDE
    )


def _stated(
    case: _Case, gram: Gram, parts: Sequence[int], weights: Wide, residual: float, method: str, *, vary: bool = False
) -> Composition:
    found = tuple(
        PartFound(
            case.known[part].name,
            round(float(weight), 4),
            _coverage(case.query, case.known[part], gram),
            case.twins.get(case.known[part].name, ()),
        )
        for part, weight in sorted(zip(parts, weights, strict=True), key=lambda pair: -abs(pair[1]))
    )
    verdict = "merge"
    if len(found) == 1:
        only = found[0]
        verdict = "subset" if only.coverage < 0.999 else "scaled"
        if verdict == "scaled" and abs(weights[0] - 1) <= SAME_WEIGHT:
            verdict = "same"
        method = ""
    return Composition(case.query.name, verdict, "high", found, round(residual, 4), method, weights_vary=vary)


def _coverage(query: AdapterWeights, part: AdapterWeights, gram: Gram) -> float:
    common = query.modules & part.modules
    if common == part.modules:
        return 1.0
    return round(gram.product(part, part, common) / gram.product(part, part), 4)


def _vary(case: _Case, gram: Gram, fit: Fit) -> bool:
    """Do the weights that fit single modules differ from those that fit all?

    Only modules with enough energy are asked: in the others any weight fits.
    """
    modules = sorted(case.query.modules)
    parts = [case.known[part] for part in fit.parts]
    own = gram.by_module(case.query, case.query, modules)
    toward = np.stack([gram.by_module(case.query, one, modules) for one in parts])
    inner = np.stack([[gram.by_module(one, other, modules) for other in parts] for one in parts])
    scale = max(float(np.abs(fit.weights).max()), 1e-6)
    for at in range(len(modules)):
        matrix = inner[:, :, at]
        if own[at] < 0.2 * own.mean() or np.linalg.cond(matrix) > 1e3:
            continue
        weights = np.linalg.solve(matrix, toward[:, at])
        if np.abs(weights - fit.weights).max() > 0.05 * scale:
            return True
    return False


def _method_of(case: _Case, fit: Fit) -> str:
    """`cat` when the rows of the parts stand in it, `svd` when its rows are orthogonal as a decomposition's are."""
    module = max(case.query.modules, key=case.query.width)
    rows = _unit(case.query.factors(module)[0])
    parts = [case.known[part] for part in fit.parts if module in case.known[part].modules]
    if parts:
        theirs = _unit(np.concatenate([one.factors(module)[0] for one in parts]))
        if float(np.abs(theirs @ rows.T).max(axis=1).min()) > 0.999:
            return "cat"
    between = np.abs(rows @ rows.T - np.diag(np.diag(rows @ rows.T)))
    return "svd" if float(between.max(initial=0.0)) < 0.02 else "refactored"


def _unit(rows: Wide) -> Wide:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0), np.float64)
