"""What a cluster must answer before work is given to it: its master, within seconds; its executors, with patience."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Final

from scoretrail import log
from scoretrail.errors import EngineError

if TYPE_CHECKING:
    from pyspark import SparkContext

_STANDALONE: Final = re.compile(r"spark://(?P<masters>.+)")
_ANSWER_S: Final = 5.0
"""For one connection. Spark itself tries for a minute, and then ends with a word about something else."""
_EXECUTORS_S: Final = 30.0
"""Spark's own default (``spark.scheduler.maxRegisteredResourcesWaitingTime``); a run with fewer is only slower."""
_SETTLED_S: Final = 1.0
"""Executors are started together: so long after the newcomer, no other is expected."""
_POLL_S: Final = 0.1
_LOCAL: Final = re.compile(r"local(\[.*\])?")


def is_local(master: str) -> bool:
    """Tell whether a master URL means the driver's own process.

    >>> is_local("local[4,2]"), is_local("local-cluster[2,1,1024]"), is_local("spark://here:7077")
    (True, False, False)
    """
    return bool(_LOCAL.fullmatch(master))


def check_master(url: str) -> None:
    """Return if a standalone master listens; other kinds of URL are left to Spark.

    Args:
        url: as ``--master`` takes it; ``spark://one:7077,two:7077`` names a master and its standby.

    Raises:
        EngineError: none of them listens.
    """
    found = _STANDALONE.fullmatch(url)
    if not found:
        return
    silent = []
    for address in found["masters"].split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
        except (OSError, ValueError) as error:
            silent.append(f"{address}: {error}")
        else:
            return
    raise EngineError(
        "the Spark master does not answer",
        where=url,
        got="; ".join(silent),
        fix="start it, or correct --master; then run the same command again",
    )


def await_executors(context: SparkContext, limit_s: float = _EXECUTORS_S) -> int:
    """Return how many executors there are, once no more seem to come: the plan is cut to what they can do at once.

    Args:
        context: on a cluster.
        limit_s: seconds after which the work begins with what is there; Spark takes in the others later.
    """
    if context.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        return _executors(context)  # they come with the work
    end = time.monotonic() + limit_s
    count, since = 0, time.monotonic()
    while time.monotonic() < end:
        now = _executors(context)
        if now != count:
            count, since = now, time.monotonic()
        if count and time.monotonic() - since >= _SETTLED_S:
            break
        time.sleep(_POLL_S)
    if not count:
        log.get().warning(log.NO_EXECUTORS, master=context.master, waited_s=limit_s)
    return count


def _executors(context: SparkContext) -> int:
    # The driver is among them; pyspark has no public name for it.
    return int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1  # noqa: SLF001
