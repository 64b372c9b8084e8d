"""``scoretrail stream verify``: what was published, held against the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from scoretrail.errors import ConfigurationError, DifferenceError

if TYPE_CHECKING:
    from jobs.metrics.textfile import Textfiles
    from jobs.stream.audit.verification import Verified
    from scoretrail.config import Settings

app = group("Verify what a stream published.")

_REPEATABLE = "Repeatable."


@command(app)
def verify(
    invocation: Invocation,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Events before the first outcome of their partition must have one, too.")
    ] = False,
    group_: Annotated[str | None, typer.Option("--group", metavar="G", help="Consumer group (stream.group).")] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="TOPIC", help=f"Topic of events (stream.input). {_REPEATABLE}"),
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of predictions (stream.predictions).")
    ] = None,
    dead_letters: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of dead letters (stream.dead_letters).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="URI", help="models:/NAME@ALIAS, whose alias is the role (stream.model).")
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help=f"A broker (kafka.bootstrap). {_REPEATABLE}")
    ] = None,
) -> None:
    """Hold every outcome against its event: one each, of its very bytes; exit 3 when something differs."""
    from jobs.metrics.textfile import Textfiles

    invocation.override(
        {
            "stream.group": group_,
            "stream.input": input_ or None,
            "stream.predictions": predictions,
            "stream.dead_letters": dead_letters,
            "stream.model": model,
            "kafka.bootstrap": bootstrap or None,
        }
    )
    textfiles = Textfiles(invocation.settings.metrics)
    textfiles.check()
    result = _run(invocation.settings, from_the_beginning=all_)
    _tell(invocation, textfiles, result)
    _show(invocation, result)


def _run(settings: Settings, *, from_the_beginning: bool) -> Verified:
    from jobs.stream.audit.claim import claim_of_letter, claim_of_prediction
    from jobs.stream.audit.verification import Scope, verify
    from jobs.stream.kafka.cluster import KafkaCluster, KafkaOffsets
    from jobs.stream.kafka.reader import KafkaReader
    from jobs.stream.operation.journal import take_over_client
    from jobs.stream.serving.served import alias_of_uri
    from jobs.stream.slot import member_name

    kafka, stream = settings.kafka, settings.stream
    take_over_client()
    name = member_name(stream.app, stream.group, "verify")
    with KafkaCluster(kafka) as cluster:
        cluster_id = cluster.id()
    with (
        KafkaOffsets(kafka, stream.group) as offsets,
        KafkaReader(kafka, stream.input, name) as events,
        KafkaReader(kafka, [stream.predictions], name) as predictions,
        KafkaReader(kafka, [stream.dead_letters], name) as letters,
    ):
        # Before anything is read: what is committed later has its outcomes later.
        committed = offsets.committed(events.partitions)
        if not committed:
            raise ConfigurationError(
                "the group has committed nothing on these topics, so there is nothing to verify",
                where=stream.group,
                fix="name the group and the topics that the worker was started with: --group, --input",
            )
        scope = Scope(
            app=stream.app,
            cluster=cluster_id,
            role=alias_of_uri(stream.model)[1] if stream.model else "champion",
            committed={partition: found.offset for partition, found in committed.items()},
            first=events.first(),
            from_the_beginning=from_the_beginning,
        )
        outcomes = ((predictions, claim_of_prediction), (letters, claim_of_letter))
        return verify(scope, events, outcomes, patience_s=kafka.transaction_s)


def _tell(invocation: Invocation, textfiles: Textfiles, result: Verified) -> None:
    """Tell Prometheus what was found, where that is configured."""
    from jobs.metrics.metric import Subject
    from jobs.stream.serving.served import alias_of_uri

    settings, stream = invocation.settings, invocation.settings.stream
    if settings.metrics.textfile_folder is None:
        return
    if stream.model is None:
        invocation.terminal.warn("no metrics are written of this: nobody says which model it is (stream.model)")
        return
    model, role = alias_of_uri(stream.model)
    owner = settings.metrics.owners.get(model)
    if owner is None:
        owner = invocation.registry.resolve(stream.model, settings.storage.plain()).manifest.card.owner
    subject = Subject(model=model, role=role, output=stream.predictions, owner=owner)
    textfiles.tell_verification(result.events, result.faults.total(), invocation.clock.now().timestamp(), subject)


def _show(invocation: Invocation, result: Verified) -> None:
    """Tell what was found.

    Raises:
        DifferenceError: something is not as it should be.
    """
    terminal = invocation.terminal
    terminal.facts(
        "verified",
        {
            "events": result.events,
            "predictions": result.predictions,
            "dead letters": result.dead_letters,
            "further outcomes": result.later,
            "of events that are gone": result.gone,
            "events before the first outcome": result.before,
            "of others": result.foreign,
            "faults": result.faults.total(),
        },
    )
    if result.faults:
        terminal.table("", ("fault", "outcomes"), sorted(result.faults.items()))
    terminal.result(result.to_json())
    if result.faults:
        raise DifferenceError(
            "what was published is not what the events ask for",
            expected="one outcome for each event, of its bytes",
            got="; ".join(result.examples),
        )
