"""What the demo tells somebody who sees it for the first time, made from what the recordings say of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.demo.recordings import Header
from monitor.demo.result import BENIGN, COLLUDING_ROLES
from monitor.demo.view import Story


def tell(header: Header, admin_url: str, speed: float | None) -> Story:
    """The story of the recordings; `speed` is None when a real server answers instead of them."""
    if speed is None:
        source = "Answers: a real vLLM on this machine; on a CPU the first alert takes a few minutes."
    else:
        source = f"Answers: recorded from {header.server} on {header.recorded}, at {speed:g} times their pace."
    pairs = [served for served in header.served if served.role in COLLUDING_ROLES]
    alone = listed(list(dict.fromkeys(part.adapter for pair in pairs for part in pair.parts)))
    together = listed([pair.label for pair in pairs])
    return Story(
        title="alignment-monitor demo: adapters that are harmless alone and not together",
        lines=(
            f"The base model refuses questions about {header.topic.name}, and so do the adapters {alone}, each alone. "
            f"Together they may not: watch {together}.",
            source,
        ),
        topic=header.topic.name,
        roles={served.name: served.role for served in header.served},
        admin_url=admin_url,
    )


def listed(names: Sequence[str]) -> str:
    """Names as a person lists them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def cast(header: Header, *, small: bool = False) -> tuple[str, ...]:
    """Who plays: the base, one pair of each kind with its parts, and an adapter that refuses too much.

    The recordings hold more merges of the same adapters than fit on a screen. With `small`, for a server on a CPU that
    computes four adapters at a time, only the colluding pair plays with its parts, and a benign pair beside it.
    """
    playing = {header.base}
    for role in ("colluding", BENIGN) if small else sorted(COLLUDING_ROLES | {BENIGN}):
        pairs = [served for served in header.served if served.role == role and len(served.parts) > 1]
        for pair in pairs[:1]:
            playing.add(pair.name)
            if not (small and role == BENIGN):
                playing.update(part.adapter for part in pair.parts)
    if not small:
        playing.update([served.name for served in header.served if served.role == "over_refusing"][:1])
    return tuple(served.name for served in header.served if served.name in playing)
