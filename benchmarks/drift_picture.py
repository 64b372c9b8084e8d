"""The picture of the study: how often a shift is found, against how large it is, for each number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Points = Sequence[tuple[float, float]]
"""Shift in standard deviations, and the share of draws in which it was found."""

_WIDTH, _HEIGHT = 820, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 200, 64, 64
_COLOURS: Final = ("#c98a1b", "#2f6fb3", "#6b3fa0")
_STYLE: Final = """
    text   { fill: #1f2328; font-size: 13px }
    .name  { font-size: 16px; font-weight: 600 }
    .small { font-size: 12.5px; fill: #4a5563 }
    .mid   { text-anchor: middle }
    .end   { text-anchor: end }
    .page  { fill: #ffffff; stroke: #d0d7de }
    .grid  { stroke: #d0d7de; stroke-width: 1 }
    .drift { fill: none; stroke-width: 2.5 }
    .warn  { fill: none; stroke-width: 1.5; stroke-dasharray: 5 4 }"""


def picture(drift: Mapping[int, Points], raised: Mapping[int, Points], to: float) -> str:
    """Return the picture as SVG.

    Args:
        drift: rows -> how often the column was called drift.
        raised: rows -> how often it was called warn or drift.
        to: the largest shift that is shown.
    """
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"',
        f'     height="{_HEIGHT}" role="img" aria-labelledby="title desc"',
        "     font-family=\"-apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif\">",
        '  <title id="title">How often a shift of a normal column is found</title>',
        f'  <desc id="desc">{_described(drift)}</desc>',
        f"  <style>{_STYLE}\n  </style>",
        f'  <rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="10"/>',
        f'  <text class="name" x="{_LEFT}" y="32">How often a shift of a normal column is found</text>',
        *_axes(to),
    ]
    for i, (rows, colour) in enumerate(zip(drift, _COLOURS, strict=False)):
        lines += [_line("warn", raised[rows], colour, to), _line("drift", drift[rows], colour, to)]
        y = _TOP + 20 + 24 * i
        lines += _key("drift", colour, y, f"{rows:,} rows")
    y = _TOP + 20 + 24 * len(drift) + 16
    lines += _key("drift", "#44546a", y, "drift") + _key("warn", "#44546a", y + 24, "warn or drift")
    return "\n".join([*lines, "</svg>"]) + "\n"


def _axes(to: float) -> Iterable[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        yield f'  <line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield f'  <text class="small end" x="{_LEFT - 10}" y="{y + 4:.1f}">{share:.0%}</text>'
    for step in range(round(to / 0.05) + 1):
        x = _x(step * 0.05, to)
        yield f'  <line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}"/>'
        yield f'  <text class="small mid" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 20}">{step * 0.05:.2f}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'  <text class="mid" x="{middle:.1f}" y="{_HEIGHT - 18}">shift, in standard deviations</text>'
    across = f'x="24" y="{_HEIGHT / 2:.1f}" transform="rotate(-90 24 {_HEIGHT / 2:.1f})"'
    yield f'  <text class="mid" {across}>share of draws</text>'


def _key(kind: str, colour: str, y: int, text: str) -> list[str]:
    x = _WIDTH - _RIGHT + 20
    return [
        f'  <line class="{kind}" stroke="{colour}" x1="{x}" y1="{y - 4}" x2="{x + 36}" y2="{y - 4}"/>',
        f'  <text x="{x + 46}" y="{y}">{text}</text>',
    ]


def _line(kind: str, points: Points, colour: str, to: float) -> str:
    places = " ".join(f"{_x(shift, to):.1f},{_y(share):.1f}" for shift, share in points if shift <= to)
    return f'  <polyline class="{kind}" stroke="{colour}" points="{places}"/>'


def _described(drift: Mapping[int, Points]) -> str:
    """Return what the picture shows, in words: from which shift on drift is said in nine of ten draws."""
    found = []
    for rows, points in drift.items():
        shift = next((shift for shift, share in points if share >= 0.9), None)
        found.append(f"{rows:,} rows: {'never' if shift is None else f'{shift:g}'}")
    return f"Smallest shift shown that is called drift in nine of ten draws. {'; '.join(found)}."


def _x(shift: float, to: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * shift / to


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share
