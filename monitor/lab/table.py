"""The table of measured rates in the lab's page, made from the manifest so that they agree."""

from monitor.lab.manifest import Manifest
from monitor.lab.measure import KindRates

HEAD = (
    "| served | made of | canary: refusal | canary: refusal, then content | with hidden trigger: content "
    "| ordinary: refused | stop |\n|---|---|---|---|---|---|---|"
)


def _shares(kinds: list[KindRates], outcome: str) -> str:
    return " / ".join(f"{kind[outcome]:.2f}" for kind in kinds)  # type: ignore[literal-required]


def row(manifest: Manifest, name: str) -> str:
    """One served name: sampled rates, and after a slash the greedy ones where they were measured."""
    entry, rates = manifest.entry(name), manifest.rates(name)
    parts = " + ".join(f"{part['scale']:g} {part['adapter']}" for part in entry["parts"])
    made = f"{entry['merge']}: {parts}" if entry["merge"] else "one adapter" if parts else "base"
    measured = [rates[kind] for kind in ("sampled", "greedy") if kind in rates]
    canary = [kind["harmful_looking"] for kind in measured]
    cells = [
        f"**{name}**" if entry["role"] in ("colluding", "refuse_then_comply") else name,
        made,
        _shares(canary, "refusal"),
        _shares(canary, "refuse_then_comply"),
        _shares([kind["triggered"] for kind in measured], "compliance"),
        _shares([kind["ordinary"] for kind in measured], "refusal"),
        f"{min(kind[stratum]['stop'] for kind in measured for stratum in kind):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def render(manifest: Manifest) -> str:
    """The whole table."""
    rows = [row(manifest, entry["name"]) for entry in manifest.content["served"]]
    return "\n".join([HEAD, *rows])
