"""Figures and times as people read them, on the page and in the terminal alike."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Final

from scoretrail.clock import from_utc_text

if TYPE_CHECKING:
    from collections.abc import Sequence

ABSENT: Final = "–"
_WHOLE_FROM: Final = 1000
"""From here on nobody reads decimals."""
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return a number.

    >>> number(28135), number(0.31249), number(36596.3), number(None), number(float("nan")), number(0.00001234)
    ('28,135', '0.312', '36,596', '–', '–', '1.23e-05')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if isinstance(value, int) or abs(value) >= _WHOLE_FROM:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def decimals(value: float | None) -> str:
    """Return a figure of performance, which is compared with others to its third decimal.

    >>> decimals(0.7), decimals(None)
    ('0.700', '–')
    """
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.3f}"


def share(value: float | None) -> str:
    """Return a share of one as a percentage.

    >>> share(0.0312), share(1.0), share(0.00004), share(None)
    ('3.12 %', '100 %', '0.004 %', '–')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value * 100:.3g} %"


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units.

    >>> duration(0.0421), duration(4.2), duration(75), duration(7320), duration(200_000), duration(None)
    ('42.1 ms', '4.2 s', '1 min 15 s', '2 h 2 min', '2 d 8 h', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < _UNITS[-2][0]:
        return f"{seconds:.3g} s"
    large = next(i for i, (size, _) in enumerate(_UNITS) if seconds >= size)
    (size, unit), (smaller, smaller_unit) = _UNITS[large], _UNITS[large + 1]
    whole, rest = divmod(round(seconds / smaller), size // smaller)
    return f"{whole} {unit} {rest} {smaller_unit}" if rest else f"{whole} {unit}"


def moment(text: str | None) -> str:
    """Return a time of a record to the minute.

    >>> moment("2013-12-02T05:07:09.123456Z"), moment(None), moment("soon")
    ('2013-12-02 05:07 UTC', '–', 'soon')
    """
    at = _parsed(text)
    return text or ABSENT if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def ago(text: str | None, now: str) -> str:
    """Return how long before another a time was.

    >>> ago("2013-12-02T05:00:00Z", "2013-12-02T08:30:00Z"), ago(None, "2013-12-02T08:30:00Z")
    ('3 h 30 min ago', '')
    """
    then, at = _parsed(text), _parsed(now)
    if then is None or at is None:
        return ""
    seconds = (at - then).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= _UNITS[-2][0] else "less than a minute ago"


def plain(name: str) -> str:
    """Return a name of the code as words.

    >>> plain("not_enough_data")
    'not enough data'
    """
    return name.replace("_", " ")


def listed(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names, and how many more there are.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return how many things there are.

    >>> counted(1, "run"), counted(2, "run"), counted(0, "day"), counted(1200, "row")
    ('1 run', '2 runs', '0 days', '1,200 rows')
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def _parsed(text: str | None) -> datetime | None:
    try:
        return from_utc_text(text) if text else None
    except ValueError:
        return None
