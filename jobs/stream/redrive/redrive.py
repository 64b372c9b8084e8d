"""Redrive: dead letters back into the stream, each at most once for each time that it was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from jobs.stream.message.redrive_header import origin_of
from jobs.stream.redrive.letter import read_letter
from scoretrail import log
from scoretrail.errors import ConfigurationError, RefusedMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jobs.stream.message.redrive_header import Origin
    from jobs.stream.port import Output, Partition
    from jobs.stream.record import Message, Record
    from jobs.stream.redrive.filter import RedriveFilter
    from jobs.stream.redrive.letter import Letter

_BATCH: Final = 1000
"""Dead letters in one transaction."""
NAMED: Final = 100
"""Truncated dead letters that are named one by one; the rest are counted."""


class Topic(Protocol):
    """What is read of topics, from their beginning up to now."""

    def first(self) -> Mapping[Partition, int]:
        """Return the first offset that is there, of each partition."""
        ...

    def read_up_to_now(self) -> Iterator[list[Record]]:
        """Yield the records that are there now, from the first one on."""
        ...


@dataclass(frozen=True, kw_only=True)
class RedriveRequest:
    """What is asked for."""

    topics: tuple[str, ...]
    """Topics of events whose dead letters are redriven."""
    cluster: str
    role: str
    """Dead letters of another role, such as a challenger's, are left alone."""
    filter: RedriveFilter
    dry_run: bool = False


@dataclass
class Redriven:
    """What was found, and what became of it."""

    seen: int = 0
    """Dead letters, of any kind."""
    redriven: int = 0
    """Or would be, in a dry run."""
    already: int = 0
    """Redriven before."""
    left_out: int = 0
    """By the filter."""
    foreign: int = 0
    """Of other topics, clusters or roles, or none of ours at all."""
    truncated: int = 0
    """Within the filter, but bytes of the event are missing."""
    truncated_events: list[str] = field(default_factory=list)
    """Where the events of the first of them lie."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of those that were redriven, by reason."""
    transactions: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {**vars(self), "reasons": dict(sorted(self.reasons.items()))}


def redrive(
    request: RedriveRequest,
    letters: Topic,
    redriven: Topic,
    open_output: Callable[[], Output],
    on_step: Callable[[str], Any] = lambda _: None,
) -> Redriven:
    """Send dead letters to their redrive topics, exactly once; return what became of them.

    The redrive topics themselves say what was redriven, so no offset is kept and any filter may follow any other. In
    order: 1 open the output, which fences a redrive that is still at work; 2 read what was redriven; 3 read dead
    letters; 4 publish those that are asked for and not among 2, in transactions. Whoever is stopped anywhere is
    started again, with the same filter or another.

    Args:
        request: which dead letters.
        letters: the topic of dead letters.
        redriven: the redrive topics.
        open_output: connects the transactional producer; a dry run never asks for it.
        on_step: called between any two steps.

    Raises:
        ConfigurationError: a redrive topic takes no message of a dead letter's size, or has lost records to retention.
        FencedError: another redrive began.
        BrokerError: the brokers do not answer; the same command goes on.
    """
    result = Redriven()
    output = None if request.dry_run else open_output()
    try:
        on_step("opened")
        done = _done(redriven, request.filter.since_ms, on_step)
        on_step("known")
        for records in letters.read_up_to_now():
            on_step("read")
            taken = [letter for record in records if (letter := _taken(record, request, done, result)) is not None]
            if output is not None:
                for start in range(0, len(taken), _BATCH):
                    _publish([letter.event for letter in taken[start : start + _BATCH]], output, on_step)
                    result.transactions += 1
            result.redriven += len(taken)
            result.reasons.update(letter.reason for letter in taken)
    finally:
        if output is not None:
            output.close()
    log.get().info(
        log.REDRIVEN,
        dry_run=request.dry_run,
        seen=result.seen,
        redriven=result.redriven,
        already=result.already,
        left_out=result.left_out,
        truncated=result.truncated,
        foreign=result.foreign,
        transactions=result.transactions,
    )
    return result


def _done(redriven: Topic, since_ms: int, on_step: Callable[[str], Any]) -> set[Origin]:
    """Return what was redriven before.

    Raises:
        ConfigurationError: nobody can tell any more.
    """
    cut = {partition for partition, offset in redriven.first().items() if offset > 0}
    done: set[Origin] = set()
    known_since_ms: dict[tuple[str, int], int] = {}
    for records in redriven.read_up_to_now():
        on_step("reading")
        for record in records:
            known_since_ms.setdefault((record.topic, record.partition), record.timestamp_ms)
            origin = origin_of(record)
            if origin is not None:
                done.add(origin)
    # A dead letter is redriven after it was written: one that is younger than all that is gone is not among it.
    lost = sorted(str(p) for p in cut if p not in known_since_ms or since_ms < known_since_ms[p])
    if lost:
        raise ConfigurationError(
            "retention has removed records of what was redriven: some dead letters would come twice",
            where=", ".join(lost),
            fix="give redrive topics retention.ms=-1; go on with --since, a time after the oldest record that is there",
        )
    return done


def _taken(record: Record, request: RedriveRequest, done: set[Origin], result: Redriven) -> Letter | None:
    """Return the dead letter that a record is, if it is to be redriven; count it."""
    result.seen += 1
    letter = read_letter(record)
    if letter is None or not _is_ours(letter, request):
        result.foreign += 1
    elif not request.filter.takes(letter):
        result.left_out += 1
    elif letter.next in done:
        result.already += 1
    elif letter.is_truncated:
        result.truncated += 1
        if len(result.truncated_events) < NAMED:
            result.truncated_events.append(str(letter.next))
    else:
        done.add(letter.next)
        return letter
    return None


def _is_ours(letter: Letter, request: RedriveRequest) -> bool:
    return letter.next.topic in request.topics and letter.cluster == request.cluster and letter.role == request.role


def _publish(messages: Sequence[Message], output: Output, on_step: Callable[[str], Any]) -> None:
    """Publish in one transaction.

    Raises:
        ConfigurationError: a topic refuses a message for its size.
        BrokerError: nobody knows what became of it.
    """
    output.begin()
    on_step("begun")
    try:
        promises = [output.send(message) for message in messages]
        on_step("sent")
        output.flush()
        on_step("flushed")
        refused = [messages[position] for position in output.check(promises)]
    except RefusedMessageError as error:
        _refuse(messages, error)
    if refused:
        _refuse(refused)
    on_step("checked")
    output.commit()
    on_step("committed")


def _refuse(messages: Sequence[Message], cause: RefusedMessageError | None = None) -> NoReturn:
    """Say which topic is too small.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        "a redrive topic takes no message as large as a dead letter's event",
        where=", ".join(sorted({message.topic for message in messages})),
        got=f"up to {max(message.size_bytes for message in messages)} bytes",
        fix="raise its max.message.bytes to that of the topic of events, and kafka.max_request_bytes with it",
    ) from cause
