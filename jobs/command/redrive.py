"""``scoretrail stream redrive``: dead letters back into the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.instant import EXAMPLE, instant
from jobs.command.invocation import Invocation

if TYPE_CHECKING:
    from jobs.stream.redrive.filter import RedriveFilter
    from jobs.stream.redrive.redrive import Redriven
    from scoretrail.config import Settings

app = group("Redrive dead letters.")

_REPEATABLE = "Repeatable."


@command(app)
def redrive(
    invocation: Invocation,
    *,
    reason: Annotated[
        list[str] | None, typer.Option(metavar="REASON", help=f"Only what was refused for it. {_REPEATABLE}")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE", help=f"Only events of TOPIC, TOPIC/PARTITION or TOPIC/PARTITION:N-M. {_REPEATABLE}"
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Only what was refused then or later, {EXAMPLE}.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was refused before.")] = None,
    dead_letters: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of dead letters (stream.dead_letters).")
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="TOPIC", help=f"Topic of events (stream.input). {_REPEATABLE}"),
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help=f"A broker (kafka.bootstrap). {_REPEATABLE}")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and send nothing.")] = False,
) -> None:
    """Send dead letters back to be scored again, each at most once for each time that it was refused."""
    from jobs.stream.redrive.filter import RedriveFilter, place_of, reasons_of

    invocation.override(
        {
            "stream.dead_letters": dead_letters,
            "stream.input": input_ or None,
            "kafka.bootstrap": bootstrap or None,
        }
    )
    wanted = RedriveFilter(
        reasons=reasons_of(reason or []),
        places=tuple(place_of(one) for one in events or ()),
        since=instant("--since", since),
        until=instant("--until", until),
    )
    result = _run(invocation.settings, wanted, dry_run=dry_run)
    _show(invocation, result, dry_run=dry_run)


def _run(settings: Settings, wanted: RedriveFilter, *, dry_run: bool) -> Redriven:
    from functools import partial

    from jobs.stream.kafka.broker import KafkaOutput
    from jobs.stream.kafka.cluster import KafkaCluster
    from jobs.stream.kafka.reader import KafkaReader
    from jobs.stream.message.redrive_header import redrive_topic
    from jobs.stream.operation.journal import take_over_client
    from jobs.stream.operation.watchdog import Watchdog
    from jobs.stream.redrive.redrive import RedriveRequest, redrive
    from jobs.stream.serving.served import alias_of_uri
    from jobs.stream.slot import member_name

    kafka, stream = settings.kafka, settings.stream
    take_over_client()
    name = member_name(stream.app, stream.group, "redrive")
    with KafkaCluster(kafka) as cluster:
        request = RedriveRequest(
            topics=stream.input,
            cluster=cluster.id(),
            role=alias_of_uri(stream.model)[1] if stream.model else "champion",
            filter=wanted,
            dry_run=dry_run,
        )
    watchdog = Watchdog(kafka.watchdog_s)
    targets = tuple(redrive_topic(topic) for topic in stream.input)
    with (
        KafkaReader(kafka, [stream.dead_letters], name) as letters,
        KafkaReader(kafka, targets, name) as redriven,
        watchdog,
    ):
        return redrive(request, letters, redriven, partial(KafkaOutput.open, kafka, name), watchdog.beat)


def _show(invocation: Invocation, result: Redriven, *, dry_run: bool) -> None:
    terminal = invocation.terminal
    terminal.facts(
        "dry run: nothing was sent" if dry_run else "redriven",
        {
            "dead letters": result.seen,
            "to be redriven" if dry_run else "redriven": result.redriven,
            "redriven before": result.already,
            "left out by the filter": result.left_out,
            "truncated, cannot be redriven": result.truncated,
            "of others": result.foreign,
        },
    )
    if result.reasons:
        terminal.table("", ("reason", "dead letters"), sorted(result.reasons.items()))
    if result.truncated:
        shown = ", ".join(result.truncated_events)
        terminal.warn(
            f"{result.truncated} dead letters lack bytes of their events: send these again from their source: {shown}"
        )
    terminal.result({"dry_run": dry_run, **result.to_json()})
