"""What a preflight sees of a worker's rights to its group and its transactional id, by requests that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.stream.preflight.seen import Seen
from jobs.stream.slot import member_name
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.stream.kafka.cluster import KafkaCluster, Right
    from scoretrail.setting import StreamSettings

_SLOT: Final = "0"
"""Where no slot is configured: rights are given to the prefix that all slots have."""


def look_at_rights(cluster: KafkaCluster, stream: StreamSettings) -> Iterator[Seen]:
    """Yield what the group's and the transactions' coordinators say to this user."""
    member = member_name(stream.app, stream.group, stream.slot or _SLOT)
    try:
        group, transactions = cluster.may_join(stream.group), cluster.may_publish(member, stream.group)
    except ScoretrailError as error:
        yield Seen("rights", ok=True, text=f"not seen: {error.got or error.what}")
        return
    yield _seen(f"acl group {stream.group}", group, "allow this user to Read the group")
    yield _seen(f"acl transactional id {member}", transactions, "allow this user to Write the transactional id")


def _seen(name: str, right: Right, fix: str) -> Seen:
    if right.allowed is None:
        return Seen(name, ok=True, text=f"not seen: {right.said}")
    return Seen(name, ok=right.allowed, text=right.said, fix="" if right.allowed else fix)
