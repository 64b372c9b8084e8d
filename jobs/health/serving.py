"""Tells what serves, since when, and how deployments go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.health.section import Cell, Section, Table, code, figure, prose
from jobs.health.wording import ABSENT, ago, counted, duration, moment, share

if TYPE_CHECKING:
    from jobs.health.fact import Deployments, Facts, Move

_MOVES: Final = 15
_DEFINED: Final = (
    "A deployment is a move of the champion to another version, as the registry's numbered alias records tell; a move "
    "to an earlier version is a rollback, and its time to recover begins with the move that it undid."
)


def serving(facts: Facts) -> Section:
    """Return what each alias stands for."""
    rows = [
        [
            Cell(one.alias),
            Cell(one.version),
            Cell(moment(one.since), title=ago(one.since, facts.at)),
            figure(f"{one.number}"),
            Cell(one.owner or "not known"),
            code(one.bundle_sha256, is_long=True),
            code(one.model_sha256 or ABSENT, is_long=True),
        ]
        for one in facts.standings
    ]
    if not rows:
        return Section("serving", "Champion and challenger", f"No alias of {facts.model} stands for a version.")
    columns = ("alias", "version", "since", "alias record", "owner", "bundle sha256", "model sha256")
    return Section("serving", "Champion and challenger", "", (), [Table("What each alias stands for", columns, rows)])


def deployments(facts: Facts) -> Section:
    """Return how often the champion changed, went back and recovered, and the newest moves."""
    found = facts.deployments
    title = "Deployments"
    if not found.moves:
        return Section("deployments", title, "No alias was ever moved.")
    shown = found.moves[-_MOVES:][::-1]
    rows = [
        [
            figure(f"{one.number}"),
            Cell(one.alias),
            Cell(moment(one.at)),
            Cell(f"{one.before} → {one.version}" if one.before else one.version),
            _kind(one),
            prose(one.reason or ABSENT),
        ]
        for one in shown
    ]
    caption = f"Moves of aliases, the newest first: {len(shown)} of {len(found.moves)}"
    moves = Table(caption, ("record", "alias", "at", "version", "what", "reason"), rows)
    return Section("deployments", title, _DEFINED, (), [_figures(found), moves])


def _figures(found: Deployments) -> Table:
    a_week = found.recent * 7 / found.recent_days
    rows = [
        [Cell("deployments"), figure(f"{found.total}")],
        [
            Cell("frequency"),
            figure(f"{counted(found.recent, 'deployment')} in the last {found.recent_days} days, {a_week:.2g} a week"),
        ],
        [Cell("rollbacks"), figure(f"{found.rollbacks}")],
        [Cell("share rolled back"), figure(share(found.rollbacks / found.total) if found.total else ABSENT)],
        [Cell("time to recover, median"), figure(duration(found.recover_s))],
    ]
    return Table("How deployments go", ("", ""), rows)


def _kind(move: Move) -> Cell:
    if move.kind == "rollback":
        return Cell(f"rollback, after {duration(move.recovered_s)}", "note")
    return Cell("deployment" if move.kind == "deployment" else ABSENT)
