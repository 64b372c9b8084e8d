"""Small pictures as inline SVG, each with a title and a description; their colours are the page's, by class."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from jobs.health.wording import decimals, number

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS: Final = 50
"""More than these are too dense for a small picture: the oldest are left out."""
_SPARK: Final = (300, 60)
"""Twice of what it is shown in, so that whole numbers will do: there are many of these."""
_STRIP: Final = 54
"""Below it lies the strip that shows where a level was raised."""
_BAND: Final = (320, 132)
_SQUARE: Final = (168, 168)
_EDGE: Final = 3
"""Pixels at each side, so that marks are not cut off."""
_TALLEST: Final = 4.0
"""Effects above so many times the drift threshold are drawn at the top, or all others would lie at the bottom."""
_LARGEST: Final = 1e100
"""Beyond it differences overflow, and no effect is so large."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"

Value = float | None


@dataclass(frozen=True)
class Scale:
    """Places numbers between two pixels."""

    low: float
    high: float
    first: float
    """Pixel of the lowest number."""
    last: float
    """Pixel of the highest."""
    digits: int = 1

    def at(self, value: float) -> float:
        """Return the pixel of a number; those outside lie at the ends.

        >>> Scale(0, 10, 100, 0).at(2.5), Scale(0, 10, 100, 0).at(11), Scale(1, 1, 100, 0).at(1)
        (75.0, 0.0, 50.0)
        """
        if self.high <= self.low:
            return (self.first + self.last) / 2
        part = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(self.first + part * (self.last - self.first), self.digits)


@dataclass(frozen=True)
class Limits:
    """From where on an effect is a warning, and from where drift."""

    warn: float
    drift: float


def sparkline(
    name: str, title: str, values: Sequence[Value], levels: Sequence[str | None] = (), limits: Limits | None = None
) -> str:
    """Return a line of values, oldest first, with thresholds, and a strip below wherever a level was raised.

    Args:
        name: an identifier that no other picture of the page has.
        title: what is drawn; the description gives the figures.
        values: None, NaN and the infinities are gaps.
        levels: of each value; *warn* and *drift* are shown. Empty where there are none.
        limits: drawn as lines, where there are any.
    """
    values, levels = [_finite(one) for one in values][-POINTS:], list(levels)[-POINTS:]
    there = [one for one in values if one is not None]
    width, _ = _SPARK
    roof = (
        max(there, default=0.0) if limits is None else min(max([*there, limits.drift * 1.2]), limits.drift * _TALLEST)
    )
    floor = min([0.0, *there])
    y = Scale(floor, roof if roof > floor else floor + 1, _STRIP - _EDGE, _EDGE, digits=0)
    x = Scale(0, len(values) - 1, _EDGE, width - _EDGE, digits=0)
    parts = []
    if limits is not None:
        parts += [_line("w", y.at(limits.warn), width), _line("d", y.at(limits.drift), width)]
    at = [(x.at(i), None if one is None else y.at(one)) for i, one in enumerate(values)]
    parts.append(f'<path class="l" d="{_path(at)}"/>')
    parts += [_strip(kind, level, levels, x) for kind, level in (("pw", "warn"), ("pd", "drift")) if level in levels]
    newest = next(((px, py) for px, py in reversed(at) if py is not None), None)
    if newest:
        parts.append(f'<circle class="n" cx="{newest[0]:g}" cy="{newest[1]:g}" r="4"/>')
    return _svg(name, title, _told(values, levels, limits), _SPARK, "".join(parts), "spark")


def blocks(values: Sequence[Value]) -> str:
    """Return values as a line of text, oldest first.

    >>> blocks([0, 1, None, 7]), blocks([]), blocks([2.0]), blocks([0, 0])
    ('▁▂ █', '', '█', '▁▁')
    """
    found = [_finite(one) for one in values][-POINTS:]
    there = [one for one in found if one is not None]
    floor, roof = min([0.0, *there]), max([0.0, *there])
    scale = Scale(floor, roof if roof > floor else floor + 1, 0, len(_BLOCKS) - 1)
    return "".join(" " if one is None else _BLOCKS[round(scale.at(one))] for one in found)


def band(
    name: str,
    title: str,
    values: Sequence[tuple[Value, Value, Value]],
    promised: tuple[Value, Value, Value] | None,
    ends: tuple[str, str],
) -> str:
    """Return a line of values within their intervals, against a promised value within its own.

    Args:
        name: an identifier that no other picture of the page has.
        title: what is drawn; the description gives the figures.
        values: (value, low, high), oldest first; a value that is none is a gap, and so is an end.
        promised: the same of what was promised, None where nothing was.
        ends: what the first and the last value are of.
    """
    found = [(_finite(value), _finite(low), _finite(high)) for value, low, high in values][-POINTS:]
    then = (None, None, None) if promised is None else tuple(_finite(one) for one in promised)
    every = [one for each in (*found, then) for one in each if one is not None]
    width, height = _BAND
    margin = (max(every) - min(every)) * 0.08 or abs(max(every)) * 0.1 or 1.0 if every else 1.0
    low, high = (min(every) - margin, max(every) + margin) if every else (0.0, 1.0)
    y, x = Scale(low, high, height - 18, 6), Scale(0, len(found) - 1, 44, width - 8)
    parts = [
        f'<text class="t" x="40" y="{py}" text-anchor="end">{decimals(v)}</text>' for v, py in ((high, 12), (low, 114))
    ]
    parts += [
        f'<text class="t" x="44" y="{height - 3}">{html.escape(ends[0])}</text>',
        f'<text class="t" x="{width - 8}" y="{height - 3}" text-anchor="end">{html.escape(ends[1])}</text>',
    ]
    if then[1] is not None and then[2] is not None:
        top = y.at(then[2])
        parts.append(f'<rect class="pb" x="44" y="{top:g}" width="{width - 52}" height="{y.at(then[1]) - top:.1f}"/>')
    if then[0] is not None:
        parts.append(f'<path class="pl" d="M44 {y.at(then[0]):g}H{width - 8}"/>')
    spread = [(x.at(i), y.at(lo), y.at(hi)) for i, (_, lo, hi) in enumerate(found) if lo is not None and hi is not None]
    if spread:
        there = [f"{px:g} {hi:g}" for px, _, hi in spread] + [f"{px:g} {lo:g}" for px, lo, _ in reversed(spread)]
        parts.append(f'<path class="b" d="M{"L".join(there)}Z"/>')
        parts.append(f'<path class="e" d="{"".join(f"M{px:g} {lo:g}V{hi:g}" for px, lo, hi in spread)}"/>')
    at = [(x.at(i), None if value is None else y.at(value)) for i, (value, _, _) in enumerate(found)]
    parts.append(f'<path class="l" d="{_path(at)}"/>')
    parts += [f'<circle class="n" cx="{px:g}" cy="{py:g}" r="2.5"/>' for px, py in at if py is not None]
    told = _told([value for value, _, _ in found], (), None)
    if then[0] is not None:
        told += f" Promised: {number(then[0])}, {number(then[1])} to {number(then[2])}."
    return _svg(name, title, told, _BAND, "".join(parts), "band")


def reliability(name: str, title: str, tenths: Sequence[tuple[float, float, int]]) -> str:
    """Return mean scores against what became of them: on the diagonal, a score is a probability.

    Args:
        name: an identifier that no other picture of the page has.
        title: what is drawn; the description gives the figures.
        tenths: (mean score, share of the second class, rows); what is not between 0 and 1 is left out.
    """
    inside = [one for one in tenths if all(math.isfinite(part) and 0 <= part <= 1 for part in one[:2])]
    side = _SQUARE[0]
    x, y = Scale(0, 1, 20, side - 8), Scale(0, 1, side - 20, 8)
    most = max((rows for _, _, rows in inside), default=1) or 1
    parts = [
        f'<path class="pl" d="M{x.at(0):g} {y.at(0):g}L{x.at(1):g} {y.at(1):g}"/>',
        f'<path class="a" d="M{x.at(0):g} {y.at(1):g}V{y.at(0):g}H{x.at(1):g}"/>',
        f'<text class="t" x="{side - 8}" y="{side - 6}" text-anchor="end">mean score</text>',
        '<text class="t" x="24" y="16">what came true</text>',
        f'<path class="l" d="{_path([(x.at(score), y.at(share)) for score, share, _ in inside])}"/>',
    ]
    parts += [
        f'<circle class="n" cx="{x.at(score):g}" cy="{y.at(share):g}" r="{2 + 3 * math.sqrt(rows / most):.1f}"/>'
        for score, share, rows in inside
    ]
    told = "; ".join(
        f"score {number(score)}, came true {number(share)}, {rows:,} rows" for score, share, rows in inside
    )
    return _svg(name, title, told or "No rows.", _SQUARE, "".join(parts), "square")


def _svg(name: str, title: str, told: str, size: tuple[int, int], inner: str, kind: str) -> str:
    width, height = size
    # The size of the smallest is the page's: there are many of them.
    size_ = "" if kind == "spark" else f' width="{width}" height="{height}"'
    return (
        f'<svg class="{kind}" role="img" aria-labelledby="{name}-t" aria-describedby="{name}-d" '
        f'viewBox="0 0 {width} {height}"{size_}>'
        f'<title id="{name}-t">{html.escape(title)}</title><desc id="{name}-d">{html.escape(told)}</desc>{inner}</svg>'
    )


def _told(values: Sequence[Value], levels: Sequence[str | None], limits: Limits | None) -> str:
    there = [one for one in values if one is not None]
    if not there:
        return "No values."
    told = f"{len(there)} values from {number(min(there))} to {number(max(there))}, the newest {number(there[-1])}."
    if limits is not None:
        told += f" Warn from {number(limits.warn)}, drift from {number(limits.drift)}."
    raised = {level: sum(one == level for one in levels) for level in ("warn", "drift")}
    return told + "".join(f" {count} times {level}." for level, count in raised.items() if count)


def _finite(value: Value) -> Value:
    return None if value is None or not math.isfinite(value) or abs(value) > _LARGEST else float(value)


def _line(kind: str, y: float, width: int) -> str:
    return f'<path class="{kind}" d="M0 {y:g}H{width}"/>'


def _path(points: Sequence[tuple[float, Value]]) -> str:
    """Return a path through points, broken where one is missing; a point alone is drawn as a dot."""
    path = []
    for is_there, several in groupby(points, lambda point: point[1] is not None):
        run = [f"{px:g} {py:g}" for px, py in several] if is_there else []
        if run:
            path.append(f"M{'L'.join(run)}" + ("h.1" if len(run) == 1 else ""))
    return "".join(path)


def _strip(kind: str, level: str, levels: Sequence[str | None], x: Scale) -> str:
    """Return a line at the foot of a picture, below the points of a level."""
    half = (x.last - x.first) / max(len(levels) - 1, 1) / 2
    spans, i = [], 0
    for is_raised, several in groupby(one == level for one in levels):
        n = len(list(several))
        if is_raised:
            spans.append(f"M{max(x.at(i) - half, 0):.0f} 57H{x.at(i + n - 1) + half:.0f}")
        i += n
    return f'<path class="{kind}" d="{"".join(spans)}"/>'
