"""``scoretrail runs``: what was run, whether it is still as it was, and whether it comes out the same again."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from jobs.command.again import EngineOption, scored_by
from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.place import TableOption, open_table, table_uri
from jobs.command.status import keep_page

app = group("List, show, verify, reproduce and release scoring runs.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or `latest`.")]
_SHOWN = 20


@command(app, "list")
def list_runs(invocation: Invocation, table: TableOption = None) -> None:
    """List the runs of a table, oldest first."""
    uri, store = _store(invocation, table)
    rows: list[dict[str, Any]] = []
    for run_id in store.run_ids():
        run = store.find(run_id)
        held = store.held(run_id) if run is None else None
        record = run or (held.run if held else None)
        intent = store.intent(run_id)
        rows.append(
            {
                "run_id": run_id,
                "status": store.status(run_id),
                "model": f"{record.model['name']} {record.model['version']}" if record else intent.bundle_uri,
                "role": intent.role,
                "rows_scored": record.rows["scored"] if record else None,
                "rows_rejected": record.rows["rejected"] if record else None,
                "bundle_sha256": intent.bundle_sha256,
            }
        )
    columns = ("run_id", "status", "model", "role", "rows_scored", "rows_rejected")
    if rows:
        shown = [[*(row[name] for name in columns), row["bundle_sha256"][:12]] for row in rows]
        invocation.terminal.table(uri, (*columns, "bundle"), shown)
    else:
        invocation.terminal.text(f"There are no runs in {uri}.")
    invocation.terminal.result({"table": uri, "runs": rows})


@command(app)
def show(invocation: Invocation, run_id: RunId, table: TableOption = None) -> None:
    """Show a run's record."""
    from dataclasses import asdict

    uri, store = _store(invocation, table)
    run_id = resolve_run(store, run_id)
    run = store.find(run_id)
    if run is None:
        held = store.held(run_id)
        run = held.run if held else None
    record: dict[str, Any] = asdict(run) if run else asdict(store.intent(run_id)) | {"status": "unfinished"}
    work = record.pop("work", ())
    for name, value in record.items():
        if isinstance(value, dict):
            invocation.terminal.facts(name, {key: str(one) for key, one in _flat(value)})
        elif value is not None:
            invocation.terminal.text(f"{name}: {value}")
    invocation.terminal.result({**record, "work": list(work)})
    invocation.terminal.next(f"scoretrail runs verify {run_id} --table {shlex.quote(uri)}")


@command(app)
def verify(invocation: Invocation, run_id: RunId, table: TableOption = None) -> None:
    """Hold files, commit, bundle and inputs against the run's trail; exit 3 when something differs.

    Raises:
        DifferenceError: something does.
    """
    from jobs.batch.audit import verify as verification
    from scoretrail.errors import DifferenceError

    opened = open_table(invocation, table)
    run_id = resolve_run(_store(invocation, table)[1], run_id)
    result = verification.verify(
        opened,
        run_id,
        invocation.registry,
        invocation.settings,
        invocation.clock,
        invocation.terminal.progress(),
    )
    expired = sum(finding.verdict == "expired" for finding in result.findings)
    invocation.terminal.facts(
        f"run {run_id}",
        {
            **{f"{name} checked": count for name, count in result.checked.items()},
            "expired": expired,
            "different": result.different,
        },
    )
    if result.findings:
        columns = ("verdict", "what", "where", "expected", "got")
        invocation.terminal.table("", columns, verification.findings_table(result.findings[:_SHOWN]))
    invocation.terminal.result(result.to_json())
    if result.different:
        raise DifferenceError(f"{result.different} things are not as the trail of {run_id} says", where=opened.uri)
    invocation.terminal.next(f"scoretrail runs reproduce {run_id} --table {shlex.quote(opened.uri)}")


@command(app)
def reproduce(
    invocation: Invocation,
    run_id: RunId,
    table: TableOption = None,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Pieces of work to look at; default all.")
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", metavar="ROOT", help="Where the input lies today, if it moved.")
    ] = None,
    engine: EngineOption = None,
) -> None:
    """Score a run's rows again and compare every bit; exit 3 when one differs.

    Any engine must come to the same bits: --engine onnxruntime shows it of rows that the tree kernel scored.

    Raises:
        DifferenceError: one does.
    """
    from jobs.batch.audit import reproduce as reproduction
    from scoretrail.errors import DifferenceError

    opened = open_table(invocation, table)
    run_id = resolve_run(_store(invocation, table)[1], run_id)
    settings = scored_by(invocation.settings, engine)
    result = reproduction.reproduce(
        opened,
        run_id,
        invocation.registry,
        settings,
        invocation.terminal.progress(),
        sample=sample,
        input_root=input_,
    )
    invocation.terminal.facts(
        f"run {run_id}",
        {
            "pieces of work": result.files,
            "rows": result.rows,
            "equal, bit for bit": result.equal,
            "different": result.different,
            "expired": len(result.expired),
            **({"erased since": result.erased} if result.erased else {}),
        },
    )
    if result.differences:
        columns = ("source_path", "source_row", "column", "published", "again")
        rows = [[getattr(one, name) for name in columns] for one in result.differences]
        invocation.terminal.table("the first differences", columns, rows)
    for line in result.expired[:_SHOWN]:
        invocation.terminal.warn(line)
    invocation.terminal.result(result.to_json())
    if result.different:
        raise DifferenceError(f"{result.different} of {result.rows} rows came out differently", where=opened.uri)


@command(app)
def release(invocation: Invocation, run_id: RunId, table: TableOption = None) -> None:
    """Publish a run that was held."""
    from jobs.batch.publication.release import release as publish_held
    from jobs.batch.request import outcome_of
    from jobs.command.batch import show_outcome

    uri, store = _store(invocation, table)
    run_id = resolve_run(store, run_id)
    run = publish_held(uri, run_id, invocation.registry, invocation.settings, invocation.clock)
    keep_page(invocation, uri, run.model["name"])
    show_outcome(invocation, outcome_of(run))


def resolve_run(store: Any, run_id: str) -> str:  # noqa: ANN401  (a RunStore; its module loads only when asked for)
    """Return the id that ``latest`` means, the newest run that published rows, or the id as given.

    Raises:
        TrailError: there is no run at all.
    """
    from scoretrail.errors import TrailError

    if run_id != "latest":
        return run_id
    runs = store.run_ids()
    if not runs:
        raise TrailError("there are no runs", where=store.uri)
    return next((run_id for run_id in reversed(runs) if store.status(run_id) == "published"), str(runs[-1]))


def _store(invocation: Invocation, table: str | None) -> tuple[str, Any]:
    from scoretrail.storage import Storage, join
    from scoretrail.trail.run import TRAIL_FOLDER, RunStore

    uri = table_uri(invocation, table)
    return uri, RunStore(Storage(join(uri, TRAIL_FOLDER), invocation.settings.storage.plain()))


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, one in value.items():
        flat += _flat(one, f"{prefix}{key}.") if isinstance(one, dict) and one else [(f"{prefix}{key}", one)]
    return flat
