"""``scoretrail services``: a real Kafka and a real Valkey on 127.0.0.1 for development, without containers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.terminal import BAD, GOOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.services.development import Development, Standing
    from scoretrail.setting import StreamSettings

app = group("Run Kafka and Valkey on this machine for development.")

_PARTITIONS: Final = 4

PartitionsOption = Annotated[int, typer.Option(min=1, metavar="N", help="Partitions of the topics that are made.")]


@command(app)
def up(
    invocation: Invocation,
    kafka_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, metavar="PORT", help="Default the one before, or a free one.")
    ] = None,
    redis_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, metavar="PORT", help="Default the one before, or a free one.")
    ] = None,
    with_topics: Annotated[bool, typer.Option("--topics", help="Make the topics that the settings name.")] = False,
    partitions: PartitionsOption = _PARTITIONS,
) -> None:
    """Start what does not run yet; the services go on when this command has ended."""
    say = invocation.terminal.step
    standings = _development(invocation).up({"kafka": kafka_port, "valkey": redis_port}, say)
    made: Sequence[str] = ()
    if with_topics:
        from jobs.services.topics import create_topics

        addresses = [one.address for one in standings if one.name == "kafka" and one.address]
        made = create_topics(addresses, topics_of(invocation.settings.stream, partitions))
    _show(invocation, standings, topics_made=list(made))
    invocation.terminal.next("scoretrail services status", "scoretrail services down")


@command(app)
def status(invocation: Invocation) -> None:
    """Say of each service where it is, whether it runs and whether it answers."""
    _show(invocation, _development(invocation).status())


@command(app)
def down(
    invocation: Invocation,
    purge: Annotated[bool, typer.Option("--purge", help="Remove what they stored, and their logs.")] = False,
) -> None:
    """End the services that `up` started; what they stored stays."""
    development = _development(invocation)
    ended = development.down(invocation.terminal.step, purge=purge)
    invocation.terminal.text(f"stopped: {', '.join(ended)}" if ended else "nothing was running")
    invocation.terminal.result({"stopped": ended, "purged": purge})


@command(app)
def topics(invocation: Invocation, partitions: PartitionsOption = _PARTITIONS) -> None:
    """Make the topics that the settings name on the brokers that the settings name, where they are not there."""
    from jobs.services.topics import create_topics

    settings = invocation.settings
    wanted = topics_of(settings.stream, partitions)
    made = create_topics(settings.kafka.bootstrap, wanted)
    invocation.terminal.table(
        "topics", ("topic", "partitions", "made now"), [(name, number, name in made) for name, number in wanted.items()]
    )
    invocation.terminal.result({"topics": wanted, "made": list(made)})


def topics_of(settings: StreamSettings, partitions: int) -> dict[str, int]:
    """Return every topic of a worker with its number of partitions; records that wake workers need one only."""
    names = [*settings.input, *(f"{name}.redrive" for name in settings.input)]
    names += [settings.predictions, settings.dead_letters]
    wanted = dict.fromkeys(names, partitions)
    return wanted | ({settings.control: 1} if settings.control else {})


def environment_of(standings: Sequence[Standing]) -> dict[str, str]:
    """Return the variables that lead a worker to the services that answer."""
    addresses = {one.name: one.address for one in standings if one.reachable}
    found = {}
    if "kafka" in addresses:
        found["SCORETRAIL__KAFKA__BOOTSTRAP"] = f'["{addresses["kafka"]}"]'
    if "valkey" in addresses:
        found["SCORETRAIL__ONLINE__URI"] = f"redis://{addresses['valkey']}/0"
    return found


def _development(invocation: Invocation) -> Development:
    from jobs.services.development import Development
    from jobs.services.jars import JarCache, default_cache

    settings = invocation.settings.services
    cache = JarCache(
        folder=Path(settings.cache) if settings.cache else default_cache(),
        ivy_settings=Path(settings.ivy_settings) if settings.ivy_settings else None,
    )
    return Development(folder=Path(settings.folder), cache=cache)


def _show(invocation: Invocation, standings: Sequence[Standing], **more: Any) -> None:  # noqa: ANN401  (JSON)
    terminal = invocation.terminal
    rows = [(GOOD if one.reachable else BAD, one.name, one.address, str(one.pid or "-"), one.log) for one in standings]
    terminal.table("services", ("", "service", "address", "pid", "log"), rows)
    environment = environment_of(standings)
    for name, value in environment.items():
        terminal.text(f"export {name}='{value}'")
    services = [{**asdict(one), "running": one.pid is not None} for one in standings]
    terminal.result({"services": services, "environment": environment, **more})
