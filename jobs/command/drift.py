"""``scoretrail drift``: what was scored, held against what the model was trained on."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.place import TableOption, table_uri
from jobs.command.runs import resolve_run

app = group("Hold what was scored against the baseline of its model.")

_PLACES = {"drift": 0, "warn": 1}
"""Of what is raised, the worst first."""
_SURE = 1e-6
"""Below it, how much less likely chance is tells nobody anything."""
_MARKS = {"ok": "ok", "warn": "WARN", "drift": "DRIFT", "not_enough_data": "not enough data"}


@command(app)
def report(
    invocation: Invocation,
    *,
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="The run's id, or `latest`.")],
    table: TableOption = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Make Evidently's page of a sample, beside the run's records.")
    ] = True,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 3 if the verdict is drift.")] = False,
) -> None:
    """Show the verdict on a run: which columns moved, by how much, and why that counts.

    Raises:
        TrailError: there is no verdict on the run.
        DifferenceError: it drifted, and ``--gate`` asked.
    """
    from scoretrail.errors import DifferenceError, TrailError
    from scoretrail.storage import Storage, join
    from scoretrail.trail.run import TRAIL_FOLDER, RunStore

    uri = table_uri(invocation, table)
    store = RunStore(Storage(join(uri, TRAIL_FOLDER), invocation.settings.storage.plain()))
    run_id = resolve_run(store, run)
    intent = store.intent(run_id)
    verdict = store.verdict(run_id)
    if verdict is None:
        raise TrailError(
            f"there is no verdict on run {run_id}",
            where=store.uri,
            got=store.status(run_id),
            fix="a run that scored rows has one if its bundle has a baseline: register it with --training-data",
        )
    show_verdict(invocation, f"run {run_id}", verdict)
    place = _page(invocation, uri, run_id) if page else None
    invocation.terminal.result(
        {"run_id": run_id, "table": uri, "bundle_sha256": intent.bundle_sha256, "page": place, **verdict}
    )
    if gate and verdict["level"] == "drift":
        raise DifferenceError(
            f"run {run_id} drifted from the baseline of its model",
            where=uri,
            got=", ".join(one["name"] for one in verdict["columns"] if one["level"] == "drift"),
        )
    if store.status(run_id) == "held":
        invocation.terminal.next(f"scoretrail runs release {run_id} --table {shlex.quote(uri)}")


def _page(invocation: Invocation, uri: str, run_id: str) -> str:
    from jobs.batch.audit.picture import picture

    invocation.terminal.step("making Evidently's page of a sample")
    page, place = picture(uri, run_id, invocation.registry, invocation.settings)
    for name, why in page.left_out.items():
        invocation.terminal.warn(f"{name} is not on the page: {why}")
    invocation.terminal.text(f"page of a sample: {place}")
    return place


def show_verdict(invocation: Invocation, title: str, verdict: dict[str, Any]) -> None:
    """Print a verdict for people."""
    terminal = invocation.terminal
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
