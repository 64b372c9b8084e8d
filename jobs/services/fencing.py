"""Fences a broker before it comes back, so that no transaction of before is half ended.

A broker that is its own controller reads, when it starts, that it still leads every partition. Its coordinator begins
to end the transactions that it finds, until the controller misses the broker of before and takes the leader from every
partition. Kafka 4.3.1 then leaves out the markers of transactions that are under way ("Couldn't find leader endpoint
for partitions … these partitions are likely deleted already"): records that were aborted stay open, and the next commit
of the same producer publishes them. A controller that runs alone first, until it has fenced the broker, leaves nothing
to begin with: the broker comes back to partitions without a leader, and its coordinator waits until it leads them.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final

from jobs.services.launch import launch
from scoretrail.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_LIMIT_S: Final = 90.0
_STOP_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.02
_SESSION_MS: Final = 500
"""How long the controller waits for the broker, which is known to be away."""
_NOTHING_TO_FENCE_S: Final = 10 * _SESSION_MS / 1000
"""A broker that was fenced before, or never came as far as to register, is not missed."""
_ACTIVE: Final = re.compile(r"Becoming the active controller")
_FENCED: Final = re.compile(r"Fencing broker \d+ at .*?(?:handleCommit: publishing.*?){2}", re.DOTALL)
"""It says so before that is written. The first commit after it may be of what was before; another one follows soon."""
_TELLS_COMMITS: Final = "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.image.loader.MetadataLoader=debug"
"""The option of Java that the command needs."""
_OF_A_BROKER: Final = ("advertised.listeners", "inter.broker.listener.name")


def fence(
    folder: Path, properties: Mapping[str, str], command: Callable[[Path, str], Sequence[str]], log: Path
) -> None:
    """Run the controller alone until it has fenced the broker.

    Args:
        folder: gets the controller's properties.
        properties: those of broker and controller in one.
        command: returns the program and its arguments for a file of properties and an option of Java.
        log: gets what the controller says; what it said before is lost.

    Raises:
        ServiceError: the controller ended, or did not come to it.
    """
    file = folder / "controller.properties"
    alone = controller_properties(properties)
    file.write_text("".join(f"{key}={value}\n" for key, value in alone.items()), encoding="utf-8")
    log.unlink(missing_ok=True)
    process = launch(command(file, _TELLS_COMMITS), log=log, environment=os.environ, tied=True)
    end, active_since = time.monotonic() + _LIMIT_S, None
    try:
        while not _FENCED.search(said := log.read_text(encoding="utf-8", errors="replace")):
            now = time.monotonic()
            if active_since is None and _ACTIVE.search(said):
                active_since = now
            if active_since is not None and now - active_since > _NOTHING_TO_FENCE_S:
                break
            if now > end or not process.is_running():
                raise ServiceError("Kafka's controller cannot fence the broker of before", where=str(log))
            time.sleep(_POLL_S)
    finally:
        process.end(_STOP_LIMIT_S)


def controller_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of the same node as a controller that misses its broker soon."""
    name = properties["controller.listener.names"]
    return {
        **{key: value for key, value in properties.items() if key not in _OF_A_BROKER},
        "process.roles": "controller",
        "listeners": next(one for one in properties["listeners"].split(",") if one.startswith(f"{name}://")),
        "broker.session.timeout.ms": str(_SESSION_MS),
        "broker.heartbeat.interval.ms": str(_SESSION_MS // 5),
    }
