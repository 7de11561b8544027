"""What of an update lies outside of what alignment changed: held against the whole matrices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_adapters import INPUTS, MODULES, OUTPUTS, Factors, drawn, write
from safetensors.numpy import save_file

from monitor.adapters.alignment import ModelWeights, alignment_shares
from monitor.adapters.weights import AdapterFilesError, AdapterWeights
from monitor.cli import main

RANK = 3


def changes() -> dict[str, np.ndarray]:
    """V per module, of low rank."""
    rng = np.random.default_rng(7)
    return {module: rng.normal(size=(OUTPUTS, RANK)) @ rng.normal(size=(RANK, INPUTS)) for module in MODULES}


def models(place: Path) -> tuple[Path, Path]:
    """The base as one file, the aligned one in two shards."""
    rng = np.random.default_rng(8)
    base = {f"model.{module}.weight": rng.normal(size=(OUTPUTS, INPUTS)).astype(np.float32) for module in MODULES}
    aligned = {f"model.{module}.weight": base[f"model.{module}.weight"] + v for module, v in changes().items()}
    aligned = {name: weight.astype(np.float32) for name, weight in aligned.items()}
    for folder in ("base", "aligned"):
        (place / folder).mkdir()
    save_file(base, place / "base" / "model.safetensors")
    names = sorted(aligned)
    placed = {name: f"model-{at % 2}.safetensors" for at, name in enumerate(names)}
    for file in set(placed.values()):
        save_file({name: aligned[name] for name in names if placed[name] == file}, place / "aligned" / file)
    (place / "aligned" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    return place / "base", place / "aligned"


def inside() -> Factors:
    return {module: (drawn(3)[module][0], v @ drawn(4)[module][0].T) for module, v in changes().items()}


def outside() -> Factors:
    made = {}
    for module, v in changes().items():
        q = np.linalg.qr(v[:, :RANK])[0]
        a, b = drawn(5)[module]
        made[module] = (a, b - q @ (q.T @ b))
    return made


def product(factors: Factors, module: str) -> np.ndarray:
    a, b = factors[module]
    return b @ a


def test_shares_and_cosines_are_those_of_the_whole_matrices(tmp_path: Path) -> None:
    base, aligned = models(tmp_path)
    made = {"in": inside(), "out": outside(), "any": drawn(6)}
    adapters = [AdapterWeights(write(tmp_path / name, factors, np.float64)) for name, factors in made.items()]
    shares = alignment_shares(adapters, ModelWeights(base), ModelWeights(aligned))
    assert shares.outside(0) == pytest.approx(0, abs=1e-5)
    assert shares.outside(1) == pytest.approx(1, abs=1e-5)
    assert shares.similarity(1) == pytest.approx(0, abs=1e-4)
    sums = [
        {m: product(made["in"], m) + product(made["any"], m) for m in MODULES},
        {m: product(made["any"], m) for m in MODULES},
    ]
    for members, updates in zip(((0, 2), (2,)), sums, strict=True):
        left, whole, cosines = 0.0, 0.0, []
        for module, v in changes().items():
            q, d = np.linalg.qr(v[:, :RANK])[0], updates[module]
            left += float(((d - q @ (q.T @ d)) ** 2).sum())
            whole += float((d**2).sum())
            turned = v @ v.T @ d
            cosines.append(float((turned * d).sum() / np.linalg.norm(turned) / np.linalg.norm(d)))
        assert shares.outside(*members) == pytest.approx(left / whole, abs=1e-4)
        assert shares.similarity(*members) == pytest.approx(np.mean(cosines), abs=1e-4)


def test_rank_pairs_tells_them_of_each_pair_and_keeps_its_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, aligned = models(tmp_path)
    for name, factors in (("in", inside()), ("out", outside()), ("any", drawn(6))):
        write(tmp_path / "adapters" / name, factors)
    lines = []
    for more in ([], ["--base", str(base), "--aligned", str(aligned)]):
        assert main(["registry", "rank-pairs", str(tmp_path / "adapters"), *more]) == 0
        lines.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert [one["first"] + one["second"] for one in lines[0]] == [one["first"] + one["second"] for one in lines[1]]
    assert all(one["outside_alignment"] is None for one in lines[0])
    told = {frozenset((one["first"], one["second"])): one["outside_alignment"] for one in lines[1]}
    assert 0 < told[frozenset(("in", "out"))] < told[frozenset(("any", "out"))] <= 1
    assert main(["registry", "rank-pairs", str(tmp_path / "adapters"), "--base", str(base)]) == 2
    assert "belong together" in capsys.readouterr().err


def test_models_that_do_not_fit_are_named(tmp_path: Path) -> None:
    base, aligned = models(tmp_path)
    one = AdapterWeights(write(tmp_path / "one", {"elsewhere": (np.ones((2, INPUTS)), np.ones((OUTPUTS, 2)))}))
    with pytest.raises(AdapterFilesError, match="none of the adapters' modules"):
        alignment_shares([one], ModelWeights(base), ModelWeights(aligned))
    wide = AdapterWeights(write(tmp_path / "wide", {MODULES[0]: (np.ones((2, INPUTS + 1)), np.ones((OUTPUTS, 2)))}))
    with pytest.raises(AdapterFilesError, match="not of the shape"):
        alignment_shares([wide], ModelWeights(base), ModelWeights(aligned))
    with pytest.raises(AdapterFilesError, match="cannot be read"):
        ModelWeights(tmp_path / "one")


def test_where_alignment_changed_nothing_everything_is_outside(tmp_path: Path) -> None:
    base, _ = models(tmp_path)
    one = AdapterWeights(write(tmp_path / "one", drawn(1)))
    shares = alignment_shares([one], ModelWeights(base), ModelWeights(base))
    assert (shares.outside(0), shares.similarity(0)) == (1.0, 0.0)
