"""The picture of the tree benchmark: rows a second over the size of the model, both on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 100, 150, 30, 50
_FONT = 'font-family="sans-serif" font-size="12" aria-labelledby="title"'
_COLOURS = ("#0b6e4f", "#4caf80", "#b23a48", "#3d5a80", "#c98a1b", "#8d6a9f")


def picture(lines: Mapping[str, Points]) -> str:
    """Return an SVG with a line for each engine: (size of the model in leaves, rows a second)."""
    points = [point for line in lines.values() for point in line]
    xs, ys = _decades(x for x, _ in points), _decades(y for _, y in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {_FONT}>',
        '<title id="title">Rows a second on one core, by leaves of the model, for each engine</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_grid(xs, ys),
    ]
    ends = []
    for colour, (name, line) in zip(_COLOURS[: len(lines)], lines.items(), strict=True):
        placed = [(_x(x, xs), _y(y, ys)) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        ends.append((placed[-1][1], name, colour))
    lowest = -math.inf
    for y, name, colour in sorted(ends):
        lowest = max(y, lowest + 15)  # names that would cover each other move down
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{lowest + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Iterable[float]) -> tuple[int, int]:
    """Return the powers of ten around all values.

    >>> _decades([160, 30_000])
    (2, 5)
    """
    found = list(values)
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    return low, max(high, low + 1)


def _grid(xs: tuple[int, int], ys: tuple[int, int]) -> Iterable[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for power in range(xs[0], xs[1] + 1):
        x = _x(10.0**power, xs)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{10**power:,}</text>'
    for power in range(ys[0], ys[1] + 1):
        y = _y(10.0**power, ys)
        yield f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>'
    yield f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">trees × leaves</text>'
    yield f'<text x="{_LEFT - 80}" y="{_TOP - 12}">rows a second on one core</text>'


def _x(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
