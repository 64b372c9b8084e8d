"""The loop: poll, handle, and publish messages and offsets in one transaction, turn by turn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobs.stream.loop import turn as turns
from jobs.stream.loop.enrichment import Enrichment
from jobs.stream.loop.holding import Holding
from jobs.stream.loop.isolation import handle_apart
from jobs.stream.loop.position import Mark, alias_of
from jobs.stream.loop.turn import Outcome, Slice, Turn
from jobs.stream.port import Committed, Membership
from scoretrail import log
from scoretrail.clock import SystemClock
from scoretrail.errors import (
    BrokerError,
    ConfigurationError,
    FencedError,
    RefusedMessageError,
    StaleGroupError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.stream.loop.hook import Current, Hooks
    from jobs.stream.loop.isolation import Handler
    from jobs.stream.port import Input, Output, Partition
    from jobs.stream.record import Message, Record
    from scoretrail.clock import Clock

_RETRY_S: Final = 0.2
"""Between two attempts to reach the brokers again."""
_BUNDLE_DIGITS: Final = 16
_ATTEMPTS: Final = 3
"""A message may be refused by the client, its dead letter by the topic; the third time there is no value in it."""
_ABORTS: Final = 50
"""So many turns in a row without a commit, though it joined anew: what refuses this worker does not pass by itself."""


@dataclass(frozen=True, kw_only=True)
class WorkerPolicy:
    """How the loop takes and publishes."""

    slot: str
    dead_letters: str
    """Topic of refused events, by which they are counted."""
    batch_records: int = 2000
    batch_s: float = 0.01
    batch_output_bytes: int = 8 * 1024 * 1024
    idle_s: float = 0.1
    """How long a poll waits for a first record; so often the loop turns at least."""
    recover_s: float = 60.0
    supersede_events: int = 0
    """Events scored without the online store that are kept for a second prediction."""


class Worker:
    """One member of a consumer group; one thread calls :meth:`turn` again and again.

    A turn, in order: 1 poll; 2 refuse a lost membership, follow a rebalance; 3 handle; 4 begin; 5 send; 6 flush; 7 look
    at every promise; 8 compare the membership, send the offsets; 9 commit. Until 9 nothing is visible to readers of
    committed records, and after a failure anywhere reading goes on at what the group has committed.
    """

    def __init__(
        self,
        source: Input,
        sink: Output,
        policy: WorkerPolicy,
        hooks: Hooks,
        clock: Clock | None = None,
    ) -> None:
        """Take the two ends; the group is joined by the first turn.

        Args:
            source: where events come from; the caller closes it.
            sink: where messages go to; the caller closes it.
            policy: sizes and times.
            hooks: what scores, and who is told.
            clock: measures durations.
        """
        self._input = source
        self._output = sink
        self._policy = policy
        self._hooks = hooks
        self._clock = clock or SystemClock()
        self._holding = Holding()
        self._late = Enrichment(policy.supersede_events, hooks.store_is_back, self._clock)
        self._paused: set[Partition] = set()
        self._membership = Membership(-1, "")
        """Under which the last records were read."""
        self._rebalances = 0
        self._aborts = 0
        """Turns in a row that the group refused."""
        self._is_open = False
        """Whether a transaction was begun that is neither committed nor aborted."""

    def turn(self) -> Turn:
        """Do one turn of the loop; return what came of it.

        Raises:
            FencedError: another process has the slot, or the broker gave up on this one: end the process.
            OffsetError: there is nothing to go on from; a person must act.
            ConfigurationError: the brokers refuse; a person must act.
            BrokerError: the brokers stayed away for longer than ``recover_s``.
        """
        current = self._hooks.current()
        done = Turn(Outcome.IDLE, alias_no=current.alias_no)
        try:
            self._take_turn(current, done)
        except StaleGroupError as error:
            self._give_up(done, error)
        except BrokerError as error:
            done.outcome, done.error = Outcome.RESET, error.got or error.what
            log.get().warning(log.BROKER_AWAY, where=error.where, error=done.error)
            self._recover()
        done.assigned = len(self._holding.partitions())
        done.rebalances, self._rebalances = self._rebalances, 0
        return done

    @property
    def store_is_away(self) -> bool:
        """Whether the loop waits for the online store."""
        return self._holding.store_away

    # --- Steps of a turn, in their order ------------------------------------------------------------------------------

    def _take_turn(self, current: Current, done: Turn) -> None:
        began = self._clock.monotonic()
        records = self._gather(current.alias_no)
        began = self._stage(done, "poll", began)
        if self._holding.store_away:
            done.outcome = Outcome.PAUSED
            self._look_for_store(current.alias_no)
            return
        if records:
            try:
                messages = handle_apart(current.handler, records)
            except StoreUnavailableError as error:
                done.outcome, done.error = Outcome.PAUSED, error.what
                self._wait_for_store(records, error)
                return
            self._stage(done, "handle", began)
            for part in turns.slices(records, messages, self._policy.batch_output_bytes):
                self._publish(part, current, done)
        if self._late:
            self._supersede(current, done)

    def _gather(self, alias_no: int) -> list[Record]:
        """Return a micro-batch, closed by its number of records or by time, all read under one membership."""
        policy = self._policy
        records = self._poll(policy.idle_s, policy.batch_records, alias_no)
        membership = self._membership
        closes = self._clock.monotonic() + policy.batch_s
        while records and len(records) < policy.batch_records:
            left_s = closes - self._clock.monotonic()
            if left_s <= 0:
                break
            more = self._poll(left_s, policy.batch_records - len(records), alias_no)
            if self._membership != membership:
                # Some of these partitions may be another worker's by now: all are read again by whoever has them.
                self._rewind()
                return []
            records += more
        return records

    def _poll(self, timeout_s: float, max_records: int, alias_no: int) -> list[Record]:
        records = self._input.poll(timeout_s, max_records)
        self._membership = self._input.membership()  # right after the poll: later it may be another
        self._hooks.on_step("polled")
        if self._membership.generation < 0 and records:
            # Brokers take offsets of a worker without a generation, even while others have its partitions.
            raise StaleGroupError("this worker has lost its membership", where="polling")
        self._follow()
        waiting = self._wait(alias_no)
        return self._drop(records, waiting) if waiting else records

    def _publish(self, part: Slice, current: Current, done: Turn) -> None:
        """Publish one part of a micro-batch, refused messages as dead letters.

        Raises:
            ConfigurationError: the topic of dead letters does not even take a dead letter without the value.
        """
        offsets = part.offsets()
        mark = Mark(current.alias_no, current.bundle_sha256[:_BUNDLE_DIGITS], self._policy.slot).to_text()
        committing = {partition: Committed(offset, mark) for partition, offset in offsets.items()}
        for _ in range(_ATTEMPTS):
            refused = self._attempt(part.messages, committing, done)
            if not refused:
                break
            self._abort()
            part = _without(part, refused, current.handler)
        else:
            raise ConfigurationError(
                "a topic takes not even a dead letter without its value",
                where=self._policy.dead_letters,
                fix="raise its max.message.bytes; `scoretrail stream preflight` compares the limits",
            )
        done.outcome = Outcome.COMMITTED
        self._aborts = 0
        self._late.remember(part.records, part.messages)
        done.records += len(part.records)
        done.transactions += 1
        done.dead_letters += sum(message.topic == self._policy.dead_letters for message in part.messages)
        done.offsets = {**done.offsets, **offsets}
        few = turns.sampled(part.records)
        done.timestamps_ms = [*done.timestamps_ms, *turns.timestamps_ms(few)]
        done.traceparents = [*done.traceparents, *turns.traceparents(few)]
        switched = self._holding.raise_to(offsets, current.alias_no)
        if switched:
            first = turns.first_offsets(part.records)
            self._hooks.on_switch(current.alias_no, {partition: first[partition] for partition in switched})

    def _supersede(self, current: Current, done: Turn) -> None:
        """Publish second predictions of events that were scored without the online store, if it answers by now.

        A transaction of its own without offsets, after what the turn is for. Whatever happens, it is not repeated.
        """
        messages = self._late.second_predictions(current.handler, self._policy.batch_records)
        if messages and self._attempt(messages, {}, done):
            self._abort()  # one was refused for its size; the first predictions stand
        else:
            done.superseding += len(messages)

    def _attempt(self, messages: Sequence[Message], committing: Mapping[Partition, Committed], done: Turn) -> list[int]:
        """Run one transaction to its end, or up to the promises; return the positions of refused messages.

        Raises:
            StaleGroupError: the group moved on since the poll.
        """
        began = self._clock.monotonic()
        step = self._hooks.on_step
        self._output.begin()
        self._is_open = True
        step("begun")
        promises, refused = self._send(messages)
        step("sent")
        began = self._stage(done, "send", began)
        if refused:
            return refused
        self._output.flush()
        step("flushed")
        refused = self._output.check(promises)
        began = self._stage(done, "flush", began)
        if refused:
            return refused
        step("checked")
        if self._input.membership() != self._membership:
            raise StaleGroupError("the group moved on since the poll", where="before the offsets")
        if committing:
            self._output.send_offsets(committing, self._membership)
            step("offsets")
        began = self._stage(done, "offsets", began)
        self._output.commit()
        self._is_open = False
        step("committed")
        self._stage(done, "commit", began)
        return []

    def _send(self, messages: Sequence[Message]) -> tuple[list[Any], list[int]]:
        """Return the promises, and the positions of messages that are too large to be sent at all."""
        promises, refused = [], []
        send = self._output.send
        for position, message in enumerate(messages):
            try:
                promises.append(send(message))
            except RefusedMessageError:
                refused.append(position)
        return promises, refused

    # --- Partitions ---------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Take note of a rebalance: forget what was lost, read who scored last what was won."""
        change = self._input.changes()
        if not (change.rebalances or change.assigned or change.revoked):
            return
        self._rebalances += change.rebalances
        self._holding.revoke(change.revoked)
        self._late.forget(change.revoked)
        self._paused -= change.revoked | change.assigned  # the client forgets pauses of what is assigned again
        if change.assigned:
            committed = self._input.committed(change.assigned)
            self._holding.assign({p: alias_of(committed.get(p)) for p in change.assigned})
        assigned, revoked = (sorted(map(str, moved)) for moved in (change.assigned, change.revoked))
        log.get().info(log.PARTITIONS_MOVED, assigned=assigned, revoked=revoked)

    def _wait(self, alias_no: int) -> set[Partition]:
        """Pause what may not be read, resume what may again; return what may not."""
        waiting = self._holding.waiting(alias_no)
        if waiting == self._paused:
            return waiting
        self._input.pause(waiting - self._paused)
        self._input.resume(self._paused - waiting)
        if waiting - self._paused and not self._holding.store_away:
            held = sorted(map(str, waiting - self._paused))
            log.get().warning(log.PARTITIONS_HELD, partitions=held, alias_no=alias_no)
        self._paused = waiting
        return waiting

    def _drop(self, records: list[Record], waiting: set[Partition]) -> list[Record]:
        """Return the records that may be handled; the others are read again later."""
        late = {p: offset for p, offset in turns.first_offsets(records).items() if p in waiting}
        if not late:
            return records
        self._input.seek(late)
        return [record for record in records if (record.topic, record.partition) not in late]

    def _wait_for_store(self, records: Sequence[Record], error: StoreUnavailableError) -> None:
        log.get().warning(log.STORE_AWAY, error=error.what)
        self._holding.store_away = True
        self._input.seek(turns.first_offsets(records))
        self._wait(alias_no=0)

    def _look_for_store(self, alias_no: int) -> None:
        if self._hooks.store_is_back():
            log.get().warning(log.STORE_BACK)
            self._holding.store_away = False
            self._wait(alias_no)

    # --- Failures -----------------------------------------------------------------------------------------------------

    def _give_up(self, done: Turn, error: StaleGroupError) -> None:
        """Abort and read again; who has the partitions now is told by the next poll.

        Raises:
            FencedError: the group refuses this worker again and again.
        """
        done.outcome, done.error = Outcome.ABORTED, error.got or error.what
        self._aborts += 1
        if self._aborts >= _ABORTS:
            raise FencedError("the group no longer knows this worker", where="offsets", got=done.error) from error
        try:
            self._abort()
            self._input.rejoin(self._membership)
            self._rewind()
        except BrokerError:
            self._recover()

    def _abort(self) -> None:
        if self._is_open:
            self._output.abort()
            self._is_open = False

    def _rewind(self) -> None:
        """Read on from what the group has committed, which is the only truth after a failure."""
        assigned = self._input.assignment()
        committed = self._input.committed(assigned)
        self._holding.replace({p: alias_of(committed.get(p)) for p in assigned})
        self._input.seek({partition: found.offset for partition, found in committed.items()})

    def _recover(self) -> None:
        """Make the producer anew and read again, until the brokers answer.

        Raises:
            BrokerError: they did not within ``recover_s``.
        """
        until = self._clock.monotonic() + self._policy.recover_s
        while True:
            self._hooks.on_step("recovering")
            try:
                self._output.close()
                self._hooks.on_step("closed")
                self._output.reset()
                self._is_open = False
                self._hooks.on_step("reset")
                self._rewind()
            except BrokerError:
                if self._clock.monotonic() > until:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _stage(self, done: Turn, name: str, began: float) -> float:
        now = self._clock.monotonic()
        done.seconds[name] = done.seconds.get(name, 0.0) + now - began
        return now


def _without(part: Slice, refused: Sequence[int], handler: Handler) -> Slice:
    """Return the part with dead letters in place of the refused messages."""
    messages = list(part.messages)
    for position in refused:
        error = RefusedMessageError("the message is too large", where=messages[position].topic)
        messages[position] = handler.refuse(part.records[position], error)
    return Slice(part.records, messages)
