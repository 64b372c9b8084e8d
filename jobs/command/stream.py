"""``scoretrail stream``: score events as they come."""

from __future__ import annotations

import shlex
import socket
import sys
from typing import Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from scoretrail.errors import ConfigurationError

app = group("Score events from Kafka, each exactly once for readers of committed records.")

_LIST = "Repeatable."


@command(app)
def run(
    invocation: Invocation,
    *,
    model: Annotated[
        str | None, typer.Option(metavar="URI", help="models:/NAME@ALIAS, followed while it runs (stream.model).")
    ] = None,
    slot: Annotated[
        str | None,
        typer.Option(
            metavar="SLOT", help="This worker's place in the group (stream.slot). Default: the host's number."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="earliest, latest or a time, for a group without commits."),
    ] = None,
    group_: Annotated[str | None, typer.Option("--group", metavar="G", help="Consumer group (stream.group).")] = None,
    input_: Annotated[
        list[str] | None, typer.Option("--input", metavar="TOPIC", help=f"Topic of events (stream.input). {_LIST}")
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of predictions (stream.predictions).")
    ] = None,
    dead_letters: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of refused events (stream.dead_letters).")
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help=f"A broker (kafka.bootstrap). {_LIST}")
    ] = None,
) -> None:
    """Serve until SIGTERM: finish the transaction, then leave; a second SIGTERM ends at once."""
    from jobs.stream.loop.position import start_of
    from jobs.stream.operation.stopping import Stopping
    from jobs.stream.service import Service, ServiceRequest
    from jobs.stream.slot import slot_of
    from scoretrail.feature.lean import keep_pandas_out

    keep_pandas_out()
    invocation.override(
        {
            "stream.model": model,
            "stream.slot": slot,
            "stream.group": group_,
            "stream.input": input_ or None,
            "stream.predictions": predictions,
            "stream.dead_letters": dead_letters,
            "kafka.bootstrap": bootstrap or None,
        }
    )
    stream = invocation.settings.stream
    request = ServiceRequest(
        slot=slot_of(stream.slot, socket.gethostname()),
        start=start_of(start) if start else None,
        command=shlex.join(["scoretrail", *sys.argv[1:]]),
    )
    stopping = Stopping(stream.drain_s)
    service = Service(invocation.resolved, invocation.registry, request, invocation.clock, stopping)
    stopping.listen()
    totals = service.run()
    invocation.terminal.facts(f"slot {request.slot} drained", vars(totals))
    invocation.terminal.result(vars(totals))


@command(app)
def shadow(
    invocation: Invocation,
    *,
    model: Annotated[
        str | None, typer.Option(metavar="URI", help="What is tried: models:/NAME@ALIAS (challenger.model).")
    ] = None,
    champion: Annotated[
        str | None, typer.Option(metavar="URI", help="What it is compared with: models:/NAME@ALIAS (stream.model).")
    ] = None,
    slot: Annotated[
        str | None, typer.Option(metavar="SLOT", help="This process's place in the challenger's group (stream.slot).")
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="PLACE", help="earliest, latest or a time, for a group without commits.")
    ] = "latest",
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="auto, recorded or events (challenger.source).")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Compare by its values as well (challenger.segment).")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append each comparison as JSON lines (challenger.report).")
    ] = None,
) -> None:
    """Score beside the champion with another model and compare, until SIGTERM; nothing of the champion's is touched."""
    from jobs.stream.challenger.service import Shadow
    from jobs.stream.loop.position import start_of
    from jobs.stream.operation.stopping import Stopping
    from jobs.stream.service import ServiceRequest
    from jobs.stream.slot import slot_of
    from scoretrail.feature.lean import keep_pandas_out

    keep_pandas_out()
    invocation.override(
        {
            "challenger.model": model,
            "stream.model": champion,
            "stream.slot": slot,
            "challenger.source": source,
            "challenger.segment": segment,
            "challenger.report": report,
        }
    )
    stream = invocation.settings.stream
    request = ServiceRequest(
        slot=slot_of(stream.slot, socket.gethostname()),
        start=start_of(start),
        command=shlex.join(["scoretrail", *sys.argv[1:]]),
    )
    stopping = Stopping(stream.drain_s)
    service = Shadow(invocation.resolved, invocation.registry, request, invocation.clock, stopping)
    stopping.listen()
    totals = service.run()
    invocation.terminal.facts(f"challenger in slot {request.slot} drained", vars(totals))
    invocation.terminal.result(vars(totals))


@command(app)
def preflight(invocation: Invocation) -> None:
    """Look at brokers, certificates, login, topics, rights, limits and the online store; change nothing.

    Raises:
        ConfigurationError: a requirement is not met.
    """
    from jobs.stream.preflight.preflight import preflight as look

    settings = invocation.settings
    seen = look(settings.kafka, settings.stream, settings.online)
    rows = [("ok" if one.ok else "wrong", one.name, one.text, one.fix) for one in seen]
    invocation.terminal.table("what was seen", ("", "requirement", "seen", "what to do"), rows)
    invocation.terminal.result({"ok": all(one.ok for one in seen), "seen": [vars(one) for one in seen]})
    wrong = [one for one in seen if not one.ok]
    if wrong:
        raise ConfigurationError(
            f"{len(wrong)} requirements are not met",
            where=", ".join(one.name for one in wrong),
            got=wrong[0].text,
            fix=wrong[0].fix,
        )
