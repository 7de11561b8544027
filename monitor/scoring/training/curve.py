"""The calibration curve as a picture: an SVG file, written by hand, since a plotting library would be needed for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

_SIDE, _EDGE = 360, 50
_LARGEST_DOT = 14.0


def calibration_curve(bins: Sequence[dict[str, float]], title: str) -> str:
    """Said probability to the right, frequency upwards; a dot per bin, its area in proportion to the rows."""
    most = max((entry["rows"] for entry in bins), default=1)
    places = [(_across(entry["probability"]), _up(entry["frequency"]), entry) for entry in bins]
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(2.0, _LARGEST_DOT * (entry["rows"] / most) ** 0.5):.1f}" fill="#2a6f97" '
        f'fill-opacity="0.6"><title>{entry["rows"]:.0f} answers: said {entry["probability"]:.2f}, were '
        f"{entry['frequency']:.2f}</title></circle>"
        for x, y, entry in places
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE + 2 * _EDGE} {_SIDE + 2 * _EDGE}" '
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{_EDGE}" y="{_EDGE - 20}" font-size="14">{title}</text>',
            f'<rect x="{_EDGE}" y="{_EDGE}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#888"/>',
            f'<line x1="{_across(0)}" y1="{_up(0)}" x2="{_across(1)}" y2="{_up(1)}" stroke="#bbb" stroke-dasharray="4"/>',
            *_ticks(),
            f'<polyline points="{path}" fill="none" stroke="#2a6f97"/>',
            *dots,
            "</svg>",
            "",
        ]
    )


def _across(share: float) -> float:
    return _EDGE + share * _SIDE


def _up(share: float) -> float:
    return _EDGE + (1 - share) * _SIDE


def _ticks() -> list[str]:
    marks = []
    for tenth in range(0, 11, 2):
        share = tenth / 10
        marks.append(f'<text x="{_across(share)}" y="{_up(0) + 18}" text-anchor="middle">{share}</text>')
        marks.append(f'<text x="{_across(0) - 8}" y="{_up(share) + 4}" text-anchor="end">{share}</text>')
    marks.append(
        f'<text x="{_across(0.5)}" y="{_up(0) + 38}" text-anchor="middle">said probability of a refusal</text>'
    )
    marks.append(
        f'<text x="{_EDGE - 36}" y="{_up(0.5)}" text-anchor="middle" '
        f'transform="rotate(-90 {_EDGE - 36} {_up(0.5)})">share that refused</text>'
    )
    return marks
