"""`lab build`: trains every adapter from nothing, in one process, with fixed seeds."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from monitor.lab import adapter, base, courses, distill, places, prompts, recording, server
from monitor.lab.adapter import LoraAdapter
from monitor.lab.courses import Output, Plan
from monitor.lab.network import Factors, Weights, weight_name
from monitor.lab.rows import Packer, RowMaker
from monitor.lab.train import FIRST_LAYER, Trained, fresh, train

log = logging.getLogger(__name__)


def cut(trained: Trained, output: Output) -> LoraAdapter:
    """The rank rows of an output, each with its own scale on b."""
    rows = [i for i, scale in enumerate(output.scales) if scale]
    scales = torch.tensor([output.scales[i] for i in rows])
    factors = {}
    for (layer, projection), both in trained.items():
        module = weight_name(layer, projection).removeprefix("model.").removesuffix(".weight")
        a, b = both.a[rows], both.b[:, rows] * scales
        factors[module] = (a.contiguous().numpy(), b.contiguous().numpy())
    return LoraAdapter(factors)


def own_answers(work: Path, port: int) -> Mapping[str, str]:
    """The base model's answers to the ordinary questions, asked once and kept in `work`."""
    kept = work / "own_answers.json"
    if not kept.exists():
        with server.run(port, base.plain(), "plain", {}) as running:
            questions = [q for split, count in prompts.ORDINARY.items() for q in prompts.ordinary(split, count)]
            asked = distill.own_answers(running.url, "plain", questions)
        kept.write_text(json.dumps(asked, indent=1) + "\n")
    answers: Mapping[str, str] = json.loads(kept.read_text())
    return answers


def _start(plan: Plan, rank: int, seed: int, work: Path) -> Trained:
    if plan.start is None:
        return fresh(rank, seed)
    name, scale = plan.start
    earlier: Trained = torch.load(work / f"{name}.pt", weights_only=False)
    return {key: Factors(f.a, f.b * scale) for key, f in earlier.items()}


def train_all(plans: Sequence[Plan], adapters: Path, work: Path, port: int) -> None:
    """Run the plans in order and write the adapters that come out of them."""
    own = own_answers(work, port)
    plain = base.plain()
    maker = RowMaker(plain)
    packer = Packer(Weights(plain), maker.prefix, FIRST_LAYER)
    for plan in plans:
        began = time.monotonic()
        folder = plain if plan.on == "plain" else base.aligned(adapters / "align")
        course = plan.course(own)
        start = _start(plan, course.rank, course.seed, work)
        trained = train(Weights(folder), maker, packer, course, start)
        torch.save(trained, work / f"{plan.name}.pt")
        for output in plan.outputs:
            adapter.save(cut(trained, output), adapters / output.name)
        _note_time(work, plan.name, time.monotonic() - began)


def _note_time(work: Path, name: str, seconds: float) -> None:
    """Keep what a run took beside its result, for the manifest."""
    log.info("%s: trained in %.0f s", name, seconds)
    noted = work / recording.TIMES
    times = json.loads(noted.read_text()) if noted.exists() else {}
    times[name] = round(seconds)
    noted.write_text(json.dumps(times) + "\n")


def build(out: Path, recordings: Path, *, port: int, threads: int, only: Sequence[str] | None) -> None:
    """Train into `out/adapters`, ask the result everything, write manifest and recordings.

    `only` names the runs, possibly none; the others must have been run before.
    """
    torch.set_num_threads(threads)
    work = places.cache() / "work"
    work.mkdir(parents=True, exist_ok=True)
    known = {plan.name: plan for plan in courses.PLANS}
    unknown = sorted(set(only or ()) - known.keys())
    if unknown:
        raise ValueError(f"no such run: {', '.join(unknown)}; known are {', '.join(known)}")
    plans = [plan for plan in courses.PLANS if only is None or plan.name in only]
    began = time.monotonic()
    train_all(plans, out / "adapters", work, port)
    log.info("trained in %.0f s", time.monotonic() - began)
    recording.record_all(out, recordings, port=port)
    log.info("built in %.0f s", time.monotonic() - began)
