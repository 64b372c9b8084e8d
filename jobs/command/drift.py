"""``scoretrail drift``: what was scored, held against what the model was trained on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.place import table_uri
from jobs.command.runs import resolve_run
from jobs.command.span import parse_span
from jobs.command.verdict import show_verdict
from scoretrail.errors import DependencyError, DifferenceError, TrailError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoretrail.monitor.report import Page

app = group("Hold what was scored against the baseline of its model.")


@command(app)
def report(
    invocation: Invocation,
    *,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="The run's id, or `latest`.")] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="A..B",
            help="Of a stream: event times from A up to B, each a date or an hour, such as 2013-12-01..2013-12-08.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="URI", help="The scored table (batch.table), or the archive (archive.table)."),
    ] = None,
    role: Annotated[str, typer.Option("--role", help="Of a window: whose predictions.")] = "champion",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="URI", help="Of a window: the bundle; default the newest in it."),
    ] = None,
    page: Annotated[
        bool | None,
        typer.Option(
            "--page/--no-page", help="Make Evidently's page of a sample; by default where Evidently is installed."
        ),
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 3 if the verdict is drift.")] = False,
) -> None:
    """Show the verdict on a run or on a window of the stream: which columns moved, by how much, why that counts.

    Raises:
        UsageError: neither a run nor a window is named, or both.
        TrailError: there is no verdict on the run, or nothing in the window.
        DifferenceError: it drifted, and ``--gate`` asked.
        DependencyError: ``--page`` asked for a page, and Evidently is not installed.
    """
    if (run is None) == (window is None):
        raise UsageError("what is to be reported on?", expected="either --run RUN or --window A..B")
    if run is not None:
        where, about, verdict = _of_run(invocation, run, table_uri(invocation, table), page=page)
    else:
        where, about, verdict = _of_window(invocation, str(window), table, role, model, page=page)
    if gate and verdict["level"] == "drift":
        raise DifferenceError(
            f"{about} drifted from the baseline of its model",
            where=where,
            got=", ".join(one["name"] for one in verdict["columns"] if one["level"] == "drift"),
        )


def _of_run(invocation: Invocation, run: str, uri: str, *, page: bool | None) -> tuple[str, str, dict[str, Any]]:
    """Show the verdict on a run; return where its records lie, what it is called, and the verdict.

    Raises:
        TrailError: there is none.
    """
    from jobs.batch.audit.picture import picture
    from scoretrail.storage import Storage, join
    from scoretrail.trail.run import TRAIL_FOLDER, RunStore

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
    show_verdict(invocation.terminal, f"run {run_id}", verdict)
    place = _page(invocation, lambda: picture(uri, run_id, invocation.registry, invocation.settings), page)
    invocation.terminal.result(
        {"run_id": run_id, "table": uri, "bundle_sha256": intent.bundle_sha256, "page": place, **verdict}
    )
    if store.status(run_id) == "held":
        invocation.terminal.next(f"scoretrail runs release {run_id} --table {shlex.quote(uri)}")
    return uri, f"run {run_id}", verdict


def _of_window(
    invocation: Invocation, window: str, table: str | None, role: str, model: str | None, *, page: bool | None
) -> tuple[str, str, dict[str, Any]]:
    """Show the verdict on a window of the stream; return as :func:`_of_run`."""
    from jobs.archive.reporting import SpanReport
    from jobs.archive.service import archive_uri

    settings = invocation.settings
    bundle = invocation.registry.resolve(model, settings.storage.plain()).digest if model else None
    found = SpanReport(archive_uri(settings, table), invocation.registry, settings)
    judged = found.judge(*parse_span(window), role, bundle)
    span, record = judged.span, judged.to_json()
    verdict: dict[str, Any] = record["verdict"]
    show_verdict(invocation.terminal, f"{span.model_name} {span.model_version}, {role}, {window}", verdict)
    place = _page(invocation, lambda: found.picture(span), page)
    invocation.terminal.result({**record["span"], "table": found.uri, "page": place, **verdict})
    return found.uri, f"window {window}", verdict


def _page(invocation: Invocation, picture: Callable[[], tuple[Page, str]], wanted: bool | None) -> str | None:
    """Make a page unless it is not wanted, or nobody asked and it cannot be made here.

    Raises:
        DependencyError: it is wanted, and Evidently is not installed.
    """
    if wanted is False:
        return None
    terminal = invocation.terminal
    terminal.step("making Evidently's page of a sample")
    try:
        page, place = picture()
    except DependencyError as error:
        if wanted:
            raise
        terminal.warn(f"no page: {error.what} ({error.fix})")
        return None
    for name, why in page.left_out.items():
        terminal.warn(f"{name} is not on the page: {why}")
    terminal.text(f"page of a sample: {place}")
    return place
