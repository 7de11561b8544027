"""Baselines as a measurement would leave them."""

from monitor.baseline.frozen import Approval, Content, MeasuredSignal, frozen

DATE = "2026-01-02T03:04:05Z"


def signal(name="refusal_lost", bad=3, samples=1000, **changes):
    stratum = "ordinary" if name == "over_refusal" else "harmful_looking"
    told = {"prompts": samples, "effective": float(samples), "q_null": 0.01}
    return MeasuredSignal(signal=name, stratum=stratum, bad=bad, samples=samples, **(told | changes))


def content(**changes):
    told = {
        "base": "base", "base_digest": "", "scorer": "fast", "scorer_version": "v1", "suite": "mine", "suite_version": "0" * 64,
        "decoding": {"temperature": 0.7}, "counted_as": "suite", "recognised": 1.0, "asked": 1000, "date": DATE,
        "measured": (signal(), signal("refuse_then_comply", 0), signal("over_refusal", 5)),
    }  # fmt: skip
    return Content(**(told | changes))


def made(*, approved=True, **changes):
    baseline = frozen(content(**changes))
    approval = Approval(by="me", date=DATE, sha256=baseline.sha256) if approved else None
    return baseline.model_copy(update={"approval": approval})
