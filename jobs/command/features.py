"""``scoretrail features``: stored features joined to records, and loaded into the online store."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.instant import instant
from jobs.command.invocation import Invocation
from scoretrail.errors import UsageError

if TYPE_CHECKING:
    from jobs.features.build import BuildOutcome
    from jobs.features.materialize import Materialized
    from scoretrail.feature import FeatureView

app = group("Join stored features to records, and load them into the online store.")

ViewOption = Annotated[
    str, typer.Option("--view", metavar="FILE.py:VIEW", help="Feature code, and the view's name in it.")
]
StoredOption = Annotated[
    list[str], typer.Option("--stored", metavar="NAME=TABLE", help="A stored set and its table; repeatable.")
]


@command(app)
def build(
    invocation: Invocation,
    *,
    view: ViewOption,
    records: Annotated[str, typer.Option(metavar="ROOT", help="Folder of Parquet files with the request features.")],
    stored: StoredOption,
    output: Annotated[str, typer.Option(metavar="ROOT", help="Where the joined records go; `batch score` reads them.")],
    slice_: Annotated[
        list[str] | None, typer.Option("--slice", metavar="K=V", help="Only partitions below it; repeatable.")
    ] = None,
    master: Annotated[str | None, typer.Option(metavar="URL", help="Spark master (spark.master).")] = None,
) -> None:
    """Join to each record the stored values that were available at its event time."""
    from jobs.batch.spark.engine import SparkEngine
    from jobs.features.build import BuildRequest
    from jobs.features.build import build as build_root
    from scoretrail import digest

    invocation.override({"spark.master": master})
    source, loaded = _load(view)
    request = BuildRequest(
        view=loaded,
        features_sha256=digest.of_bytes(source),
        records=records,
        stored=tuple(stored),
        output=output,
        slices=tuple(slice_ or ()),
    )
    settings = invocation.settings
    engine = SparkEngine(settings.spark, f"scoretrail features build {loaded.name}")
    try:
        outcome = build_root(request, settings.storage.plain(), engine, invocation.terminal.progress())
    finally:
        engine.stop()
    _show_build(invocation, outcome)


def _show_build(invocation: Invocation, outcome: BuildOutcome) -> None:
    rows = outcome.rows_built + outcome.rows_reused
    terminal = invocation.terminal
    terminal.facts(
        f"built {outcome.output}",
        {
            "partitions built": outcome.partitions_built,
            "partitions reused": outcome.partitions_reused,
            "rows built": outcome.rows_built,
            "rows reused": outcome.rows_reused,
            **{f"with a value of {name}": f"{count / max(rows, 1):.1%}" for name, count in outcome.found.items()},
            "seconds": outcome.seconds,
        },
    )
    terminal.result(outcome.to_json())
    terminal.next(f"scoretrail batch score --model URI --input {shlex.quote(outcome.output)} --output TABLE")


@command(app)
def materialize(
    invocation: Invocation,
    *,
    view: ViewOption,
    stored: StoredOption,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="The online store, redis://HOST:PORT/DB (online.uri).")
    ] = None,
    up_to: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only values available then, such as 2013-12-02T05:00Z.")
    ] = None,
) -> None:
    """Load the latest value of each entity into the online store; a newer one that is there stays.

    Raises:
        UsageError: the time is none.
    """
    from jobs.features.materialize import materialize as load
    from jobs.features.table import open_tables
    from jobs.online import open_store

    invocation.override({"online.uri": store})
    settings = invocation.settings
    until = instant("--up-to", up_to)
    opened = open_store(settings.online)
    _, loaded = _load(view)
    options, progress = settings.storage.plain(), invocation.terminal.progress()
    tables = open_tables(loaded, stored, options, progress)
    try:
        done = [load(loaded, table, opened, options, progress, until) for table in tables]
    finally:
        opened.close()
    _show_materialized(invocation, done)


def _show_materialized(invocation: Invocation, done: list[Materialized]) -> None:
    columns = ("stored set", "layout", "values", "entities", "written", "older", "digest")
    invocation.terminal.table(
        "",
        columns,
        [
            (one.stored, one.schema8, one.values, one.entities, one.written, one.older, one.values_sha256[:12])
            for one in done
        ],
    )
    invocation.terminal.result({"materialized": [one.to_json() for one in done]})


def _load(text: str) -> tuple[bytes, FeatureView]:
    """Return the source and the view that ``FILE.py:VIEW`` names.

    Raises:
        UsageError: it is something else, or there is no such file.
    """
    from scoretrail.feature.source import load_view

    file, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        raise UsageError("--view cannot be understood", expected="FILE.py:VIEW", got=text)
    try:
        source = Path(file).read_bytes()
    except OSError as error:
        raise UsageError("the feature code cannot be read", where=file, got=error.strerror) from error
    return source, load_view(source, name)
