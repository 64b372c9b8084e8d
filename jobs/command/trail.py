"""``scoretrail trail``: where one row's score came from."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from jobs.command.invocation import Invocation
from jobs.command.place import open_table
from scoretrail.errors import TrailError, UsageError, nearest


def trail(
    invocation: Invocation,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The scored table.")],
    key: Annotated[str, typer.Argument(metavar="COLUMN=VALUE", help="Which row, such as flight_id=….")],
) -> None:
    """Show where a row's score came from: model, data, run, commit; and how to make it again."""
    from scoretrail.storage import Storage, join
    from scoretrail.trail.run import TRAIL_FOLDER, RunStore

    opened = open_table(invocation, table)
    rows = find_rows(opened, key)
    store = RunStore(Storage(join(opened.uri, TRAIL_FOLDER), invocation.settings.storage.plain()))
    found = []
    for row in rows:
        run = store.find(row["run_id"])
        invocation.terminal.facts(f"{key}, {row['role']}", {name: _shown(value) for name, value in row.items()})
        if run is not None:
            facts = {
                "command": run.command,
                "bundle": run.model["location"],
                "input": f"{run.input['root']}/{row['source_path']} row {row['source_row']}",
                "table version": run.output["table_version"],
                "code": run.code["commit"] or run.code["distribution_sha256"],
                "environment": f"Python {run.environment['python']}, ONNX Runtime {run.environment['onnxruntime']}, "
                f"{run.environment['cpu']}",
            }
            invocation.terminal.facts("its run", facts)
        found.append({**{name: _plain(value) for name, value in row.items()}, "run": run.model if run else None})
    invocation.terminal.result({"table": opened.uri, "rows": found})
    run_ids = dict.fromkeys(row["run_id"] for row in rows)
    invocation.terminal.next(
        *(f"scoretrail runs reproduce {run_id} --table {shlex.quote(opened.uri)}" for run_id in run_ids)
    )


def find_rows(table: Any, key: str) -> list[dict[str, Any]]:  # noqa: ANN401  (an OutputTable)
    """Return the rows whose column has a value.

    Raises:
        UsageError: the key is no COLUMN=VALUE, or there is no such column.
        TrailError: no row has the value.
    """
    dataset = table.to_pyarrow_dataset()
    rows: list[dict[str, Any]] = dataset.to_table(filter=row_filter(dataset, key)).to_pylist()
    if not rows:
        raise TrailError(
            f"no row has {key}", where=table.uri, fix="it may have been rejected: look in the rejects table"
        )
    return rows


def row_filter(dataset: Any, key: str) -> Any:  # noqa: ANN401  (pyarrow.dataset is untyped)
    """Return what chooses the rows whose column has a value.

    Raises:
        UsageError: the key is no COLUMN=VALUE, or there is no such column.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    name, equals, text = key.partition("=")
    if not equals or name not in dataset.schema.names:
        near = nearest(name, dataset.schema.names)
        raise UsageError(
            f"{key!r} does not say which row",
            expected="COLUMN=VALUE",
            fix=f"did you mean {near}=…?" if near else f"columns: {', '.join(dataset.schema.names)}",
        )
    try:
        value = pa.scalar(text).cast(dataset.schema.field(name).type)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"{text!r} is no value of column {name}", expected=str(dataset.schema.field(name).type)
        ) from error
    return ds.field(name) == value


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.isoformat() if hasattr(value, "isoformat") else value


def _shown(value: Any) -> Any:  # noqa: ANN401
    """Return a value as it is: a score with every digit that its bits have."""
    if isinstance(value, float):
        return f"{value!r} ({value.hex()})"
    return _plain(value)
