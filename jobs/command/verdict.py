"""A verdict on drift, printed for people: what moved, how far, and what that is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobs.command.terminal import Terminal

_PLACES: Final = {"drift": 0, "warn": 1}
"""Of what is raised, the worst first."""
_SURE: Final = 1e-6
"""Below it, how much less likely chance is tells nobody anything."""
_MARKS: Final = {"ok": "ok", "warn": "WARN", "drift": "DRIFT", "not_enough_data": "not enough data"}


def show_verdict(terminal: Terminal, title: str, verdict: dict[str, Any]) -> None:
    """Print a verdict for people.

    Args:
        terminal: where to.
        title: what it is about.
        verdict: as :meth:`scoretrail.monitor.drift.Verdict.to_json` gives it.
    """
    every = [one for column in verdict["columns"] for one in column["checks"]]
    usual = ", held against usual days" if any(one["usual"] is not None for one in every) else ""
    span = f"within a day{usual}" if verdict["is_day"] else "more than a day"
    terminal.facts(
        title,
        {
            "verdict": _MARKS[verdict["level"]],
            **{f"{kind} drift": _MARKS[level] for kind, level in verdict["kinds"].items()},
            "rows": verdict["rows"],
            **({"rows left out": verdict["rows_left_out"]} if verdict["rows_left_out"] else {}),
            "event times": span,
            **(
                {"confirmed": f"{', '.join(verdict['confirmed'])}, by {verdict['before']}"}
                if verdict["confirmed"]
                else {}
            ),
            "baseline": verdict["baseline_sha256"][:12],
        },
    )
    rows = [
        [
            column["name"],
            column["group"],
            _MARKS[one["level"]],
            one["measure"].replace("_", " "),
            f"{one['value']:.3g}",
            f"{one['warn']:g} / {one['drift']:g}",
            "" if one["usual"] is None else f"{one['usual']:.3g}",
            f"{one['p_value']:.1g}" if one["p_value"] >= _SURE else f"< {_SURE:g}",
            one["detail"],
        ]
        for column in sorted(verdict["columns"], key=lambda one: _PLACES.get(one["level"], len(_PLACES)))
        for one in _shown(column["checks"])
    ]
    columns = ("column", "from", "verdict", "measure", "effect", "warn / drift", "usual day", "chance", "")
    terminal.table("", columns, rows)


def _shown(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the checks that were raised, or else the one that comes nearest to its threshold."""
    raised = [one for one in checks if one["level"] in _PLACES]
    nearest = sorted(checks, key=lambda one: float(one["value"]) / float(one["warn"]))[-1:]
    return sorted(raised or nearest, key=lambda one: _PLACES.get(one["level"], len(_PLACES)))
