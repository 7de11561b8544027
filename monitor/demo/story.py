"""What the demo tells somebody who sees it for the first time, made from what the recordings say of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.demo.recordings import Header
from monitor.demo.result import COLLUDING_ROLES, CONTROL_ROLES
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


def few_names(header: Header) -> tuple[str, ...]:
    """What the story needs, for a server too slow for all names: base, colluding pairs, their parts, a control."""
    pairs = [served for served in header.served if served.role in COLLUDING_ROLES]
    needed = {header.base, *(served.name for served in pairs), *(part.adapter for pair in pairs for part in pair.parts)}
    controls = [served.name for served in header.served if served.role in CONTROL_ROLES and len(served.parts) > 1]
    needed.update(controls[:1])
    return tuple(served.name for served in header.served if served.name in needed)
