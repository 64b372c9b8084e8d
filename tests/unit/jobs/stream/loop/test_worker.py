"""One turn of the loop, on twins in memory: what is committed, given up, begun anew, and waited for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from jobs.stream.loop.hook import Hooks
from jobs.stream.loop.position import Mark, alias_of
from jobs.stream.loop.turn import Outcome
from jobs.stream.loop.worker import Worker, WorkerPolicy
from jobs.stream.port import Committed, Partition
from jobs.stream.record import Message, Record
from scoretrail import log
from scoretrail.errors import (
    BrokerError,
    ConfigurationError,
    FencedError,
    OffsetError,
    StaleGroupError,
    StoreUnavailableError,
)
from tests.factory.broker_twin import DEAD_LETTERS, EVENTS, PREDICTIONS, Echo, Twin, TwinInput, TwinOutput

P0, P1 = Partition(EVENTS, 0), Partition(EVENTS, 1)
STEPS = ["polled", "begun", "sent", "flushed", "checked", "offsets", "committed"]


@dataclass
class Stage:
    """A worker between its twins."""

    twin: Twin = field(default_factory=Twin)
    current: Echo = field(default_factory=Echo)
    steps: list[str] = field(default_factory=list)
    switches: list[tuple[int, dict[Partition, int]]] = field(default_factory=list)
    store_answers: bool = True
    on_step: Callable[[str], Any] = lambda _: None

    def __post_init__(self) -> None:
        self.source, self.sink = TwinInput(self.twin), TwinOutput(self.twin)

    def worker(self, **policy: Any) -> Worker:
        def on_step(name: str) -> None:
            self.steps.append(name)
            self.on_step(name)

        hooks = Hooks(
            current=lambda: self.current,
            store_is_back=lambda: self.store_answers,
            on_step=on_step,
            on_switch=lambda alias_no, offsets: self.switches.append((alias_no, dict(offsets))),
        )
        values = {"slot": "0", "dead_letters": DEAD_LETTERS, "batch_s": 0, "recover_s": 0, **policy}
        return Worker(self.source, self.sink, WorkerPolicy(**values), hooks)

    def values(self) -> list[bytes | None]:
        return [message.value for message in self.twin.visible]

    def offset(self, partition: Partition = P0) -> int:
        return self.twin.committed[partition].offset


@pytest.fixture
def stage() -> Stage:
    found = Stage()
    found.twin.write(0, b"a", b"b")
    found.source.assign(0)
    return found


def test_a_turn_publishes_messages_and_offsets_together(stage: Stage) -> None:
    turn = stage.worker().turn()
    assert turn.outcome is Outcome.COMMITTED
    assert (turn.records, turn.transactions, turn.dead_letters, turn.assigned) == (2, 1, 0, 1)
    assert stage.values() == [b"a", b"b"]
    assert stage.twin.committed[P0] == Committed(2, Mark(1, "ab" * 8, "0").to_text())
    assert turn.offsets == {P0: 2}


def test_the_steps_are_told_in_their_order(stage: Stage) -> None:
    stage.worker().turn()
    assert stage.steps == STEPS
    assert stage.sink.calls == ["begin", "flush", "check", "send_offsets", "commit"]


def test_an_idle_turn_begins_no_transaction(stage: Stage) -> None:
    worker = stage.worker()
    worker.turn()
    stage.sink.calls.clear()
    assert worker.turn().outcome is Outcome.IDLE
    assert stage.sink.calls == []


@pytest.mark.parametrize("step", STEPS)
def test_dying_between_two_steps_loses_and_doubles_nothing(stage: Stage, step: str) -> None:
    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == step:
            raise Killed

    stage.on_step = kill
    with pytest.raises(Killed):
        stage.worker().turn()
    stage.on_step = lambda _: None
    successor = Stage(stage.twin)
    successor.source.assign(0)
    successor.worker().turn()
    assert sorted(value or b"" for value in stage.values()) == [b"a", b"b"]
    assert stage.offset() == 2


def test_a_lost_membership_commits_nothing(stage: Stage) -> None:
    stage.twin.generation = -1
    turn = stage.worker().turn()
    assert turn.outcome is Outcome.ABORTED
    assert (stage.values(), stage.offset(), stage.sink.calls) == ([], 0, [])
    stage.twin.generation = 5
    assert stage.worker().turn().outcome is Outcome.COMMITTED


def move_on_while_sending(stage: Stage) -> None:
    """Let the group move on once, right before a worker's offsets."""

    def move(name: str) -> None:
        if name == "checked" and stage.twin.generation < 10:
            stage.twin.generation = 10

    stage.on_step = move


def test_a_group_that_moves_on_while_sending_aborts_and_reads_again(stage: Stage) -> None:
    move_on_while_sending(stage)
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.ABORTED
    assert (stage.values(), stage.sink.calls[-1]) == ([], "abort")
    assert "send_offsets" not in stage.sink.calls
    assert worker.turn().outcome is Outcome.COMMITTED
    assert stage.values() == [b"a", b"b"]


def test_the_brokers_own_refusal_aborts_too(stage: Stage) -> None:
    stage.twin.fail("send_offsets", StaleGroupError("the group moved on"))
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.ABORTED
    assert worker.turn().records == 2
    assert stage.values() == [b"a", b"b"]


def refuse_offsets(stage: Stage, times: int) -> None:
    """Let the group refuse a worker's offsets so many times in a row."""
    send_offsets, left = stage.sink.send_offsets, iter(range(times))

    def refuse(*given: Any) -> None:
        if next(left, None) is not None:
            raise StaleGroupError("unknown member", where="offsets")
        send_offsets(*given)

    stage.sink.send_offsets = refuse  # type: ignore[method-assign, assignment]


def test_a_worker_that_the_group_has_forgotten_ends(stage: Stage) -> None:
    refuse_offsets(stage, times=1000)
    worker = stage.worker()
    for _ in range(49):
        assert worker.turn().outcome is Outcome.ABORTED
    with pytest.raises(FencedError, match="no longer knows"):
        worker.turn()
    assert stage.values() == []


def test_a_worker_whose_client_does_not_notice_that_it_was_put_out_joins_anew(stage: Stage) -> None:
    refuse_offsets(stage, times=1)
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.ABORTED
    assert stage.source.rejoined == 1
    assert worker.turn().outcome is Outcome.COMMITTED
    assert (stage.values(), stage.source.rejoined) == ([b"a", b"b"], 1)


def test_a_worker_whose_client_knows_better_by_now_does_not(stage: Stage) -> None:
    move_on_while_sending(stage)
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.ABORTED
    assert stage.source.rejoined == 0


def test_refusals_that_end_do_not_end_the_worker(stage: Stage) -> None:
    refuse_offsets(stage, times=49)
    worker = stage.worker()
    for _ in range(49):
        assert worker.turn().outcome is Outcome.ABORTED
    assert worker.turn().outcome is Outcome.COMMITTED
    assert stage.values() == [b"a", b"b"]


@pytest.mark.parametrize("call", ["begin", "send", "flush", "check", "send_offsets"])
def test_an_unknown_outcome_makes_the_producer_anew_and_goes_back_to_what_is_committed(stage: Stage, call: str) -> None:
    stage.twin.fail(call, BrokerError("no answer"))
    worker = stage.worker()
    with capture_logs() as logs:
        assert worker.turn().outcome is Outcome.RESET
    assert [entry["event"] for entry in logs if entry["event"] == log.BROKER_AWAY] == [log.BROKER_AWAY]
    assert stage.sink.calls[-2:] == ["close", "reset"]
    assert worker.turn().outcome is Outcome.COMMITTED
    assert stage.values() == [b"a", b"b"]


def test_a_commit_that_happened_though_nobody_heard_is_not_repeated(stage: Stage) -> None:
    commit = stage.sink.commit

    def unheard() -> None:
        commit()
        stage.sink.commit = commit  # type: ignore[method-assign]
        raise BrokerError("no answer")

    stage.sink.commit = unheard  # type: ignore[method-assign]
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.RESET
    assert worker.turn().outcome is Outcome.IDLE
    assert stage.values() == [b"a", b"b"]


def test_brokers_that_stay_away_end_the_worker(stage: Stage) -> None:
    stage.twin.fail("flush", BrokerError("no answer"))
    stage.twin.fail("reset", BrokerError("no answer"))
    with pytest.raises(BrokerError):
        stage.worker(recover_s=-1).turn()


def test_brokers_that_come_back_are_waited_for(stage: Stage) -> None:
    stage.twin.fail("flush", BrokerError("no answer"))
    stage.twin.fail("committed", BrokerError("no answer"))  # of the assignment
    stage.twin.fail("reset", BrokerError("no answer"))
    worker = stage.worker(recover_s=30)
    worker.turn()
    worker.turn()
    assert worker.turn().outcome is Outcome.COMMITTED


@pytest.mark.parametrize("call", ["poll", "begin", "flush", "send_offsets", "commit"])
def test_a_fenced_worker_ends_and_touches_nothing(stage: Stage, call: str) -> None:
    stage.twin.fail(call, FencedError("fenced"))
    with pytest.raises(FencedError):
        stage.worker().turn()
    assert not {"abort", "reset"} & set(stage.sink.calls)


def test_an_offset_that_is_gone_ends_the_worker(stage: Stage) -> None:
    stage.source.positions[P0] = 99
    with pytest.raises(OffsetError):
        stage.worker().turn()


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_a_micro_batch_closes_at_its_number_of_records(stage: Stage) -> None:
    worker = stage.worker(batch_records=1)
    assert [worker.turn().records for _ in range(3)] == [1, 1, 0]


def test_a_micro_batch_closes_by_time_and_takes_what_comes_meanwhile(stage: Stage) -> None:
    late = iter([b"c"])

    def write(_: str) -> None:
        for value in itertools.islice(late, 1):
            stage.twin.write(0, value)

    stage.on_step = write
    assert stage.worker(batch_s=0.05).turn().records == 3


def test_a_rebalance_within_a_micro_batch_drops_it(stage: Stage) -> None:
    stage.twin.write(1, b"c")
    polls = itertools.count()

    def rebalance(name: str) -> None:
        if name == "polled" and next(polls) == 0:
            stage.source.assign(0, 1)

    stage.on_step = rebalance
    worker = stage.worker(batch_s=0.05)
    first = worker.turn()
    assert (first.outcome, stage.values()) == (Outcome.IDLE, [])
    assert worker.turn().records == 3


def test_output_bytes_cut_a_micro_batch_into_transactions(stage: Stage) -> None:
    stage.twin.write(0, *[b"x" * 600] * 5)
    turn = stage.worker(batch_output_bytes=1_300).turn()
    assert (turn.records, turn.transactions, stage.offset()) == (7, 3, 7)


# --- Poison -----------------------------------------------------------------------------------------------------------


def fail_on(value: bytes) -> Callable[[Sequence[Record]], None]:
    def before(records: Sequence[Record]) -> None:
        if any(record.value == value for record in records):
            raise ZeroDivisionError

    return before


def test_a_poison_event_becomes_a_dead_letter_and_stops_nothing(stage: Stage) -> None:
    stage.twin.write(0, *(b"%d" % i for i in range(10)))
    stage.current.before = fail_on(b"7")
    turn = stage.worker().turn()
    assert (turn.records, turn.dead_letters) == (12, 1)
    assert b"ZeroDivisionError" in stage.values()
    assert stage.offset() == 12


def test_a_handler_that_forgets_a_record_loses_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "handle", lambda self, records: [self._message(r) for r in records if r.value != b"a"])
    turn = stage.worker().turn()
    assert (turn.records, turn.dead_letters, stage.values()) == (2, 1, [b"ValueError", b"b"])


@pytest.mark.parametrize("limit", ["client", "topic"])
def test_a_message_that_is_too_large_becomes_a_small_dead_letter(stage: Stage, limit: str) -> None:
    stage.twin.write(0, b"x" * 900, b"c")
    if limit == "client":
        stage.sink.max_bytes = 500
    else:
        stage.sink.topic_limits = {"predictions": 500}
    turn = stage.worker().turn()
    assert stage.values() == [b"a", b"b", b"too large", b"c"]
    assert (turn.records, turn.dead_letters, stage.offset()) == (4, 1, 4)


def test_a_topic_that_takes_nothing_is_a_fault_of_the_configuration(stage: Stage) -> None:
    stage.sink.topic_limits = {"predictions": 1, DEAD_LETTERS: 1}
    with pytest.raises(ConfigurationError, match="not even a dead letter"):
        stage.worker().turn()
    assert (stage.values(), stage.offset()) == ([], 0)


# --- The store --------------------------------------------------------------------------------------------------------


def test_a_store_that_is_away_pauses_and_comes_back(stage: Stage) -> None:
    answers = iter([StoreUnavailableError("away")])

    def before(_: Sequence[Record]) -> None:
        for error in answers:
            raise error

    stage.current.before = before
    stage.store_answers = False
    worker = stage.worker()
    assert worker.turn().outcome is Outcome.PAUSED
    assert (stage.source.paused, stage.sink.calls) == ({P0}, [])
    polls = stage.source.polls
    assert worker.turn().outcome is Outcome.PAUSED
    assert stage.source.polls > polls  # the membership is kept
    stage.twin.write(1, b"c")
    stage.source.assign(0, 1)
    assert worker.turn().outcome is Outcome.PAUSED
    assert stage.source.paused == {P0, P1}  # paused again after the assignment
    stage.store_answers = True
    worker.turn()
    assert stage.source.paused == set()
    assert worker.turn().outcome is Outcome.COMMITTED
    assert sorted(value or b"" for value in stage.values()) == [b"a", b"b", b"c"]


# --- Models -----------------------------------------------------------------------------------------------------------


def test_a_partition_never_goes_back_to_an_older_alias(stage: Stage) -> None:
    stage.twin.write(1, b"c")
    stage.twin.committed[P1] = Committed(0, Mark(7, "cd", "1").to_text())
    stage.source.assign(0, 1)
    stage.current = Echo(alias_no=6)
    worker = stage.worker()
    with capture_logs() as logs:
        worker.turn()
    assert stage.values() == [b"a", b"b"]
    assert (stage.source.paused, stage.source.positions[P1]) == ({P1}, 0)
    assert [entry["partitions"] for entry in logs if entry["event"] == log.PARTITIONS_HELD] == [["events/1"]]
    stage.current = Echo(alias_no=7)
    worker.turn()
    worker.turn()
    assert stage.values() == [b"a", b"b", b"c"]


def test_a_switch_is_told_with_the_first_offset_of_each_partition(stage: Stage) -> None:
    worker = stage.worker()
    worker.turn()
    stage.twin.write(0, b"c", b"d")
    stage.current = Echo(alias_no=2)
    worker.turn()
    assert stage.switches == [(1, {P0: 0}), (2, {P0: 2})]
    assert alias_of(stage.twin.committed[P0]) == 2


def test_a_rebalance_forgets_partitions_that_are_gone(stage: Stage) -> None:
    stage.twin.write(1, b"c")
    worker = stage.worker()
    worker.turn()
    stage.source.assign(1)
    turn = worker.turn()
    assert (turn.assigned, turn.rebalances, stage.offset(P1)) == (1, 1, 1)


@pytest.fixture(autouse=True)
def _no_pause_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.stream.loop.worker._RETRY_S", 0)


# --- Late enrichment --------------------------------------------------------------------------------------------------


def again(records: Sequence[Record]) -> list[Message]:
    return [Message(PREDICTIONS, record.key, b"again " + (record.value or b"")) for record in records]


def without_store(stage: Stage) -> Worker:
    """Return a worker that has committed two of three events without the store's answer."""
    stage.twin.write(0, b"default x", b"default y")
    worker = stage.worker(supersede_events=10)
    stage.store_answers = False
    assert worker.turn().records == 4
    return worker


def test_what_was_scored_without_the_store_is_scored_once_more_when_it_answers(stage: Stage) -> None:
    stage.current.second = again
    worker = without_store(stage)
    assert worker.turn().superseding == 0
    stage.store_answers = True
    worker._late._ask_at = 0
    turn = worker.turn()
    assert (turn.outcome, turn.records, turn.superseding) == (Outcome.IDLE, 0, 2)
    assert stage.values()[-2:] == [b"again default x", b"again default y"]
    assert stage.offset() == 4
    assert stage.sink.calls[-4:] == ["begin", "flush", "check", "commit"]  # without offsets
    assert worker.turn().superseding == 0


def test_a_store_that_falls_silent_again_is_asked_later(stage: Stage) -> None:
    worker = without_store(stage)
    stage.store_answers = True
    assert worker.turn().superseding == 0  # the question was answered, the lookup was not
    stage.current.second = again
    worker._late._ask_at = 0
    assert worker.turn().superseding == 2


def test_a_second_prediction_that_was_not_committed_is_not_tried_again(stage: Stage) -> None:
    stage.current.second = again
    worker = without_store(stage)
    stage.store_answers = True
    worker._late._ask_at = 0

    def fail(step: str) -> None:
        if step == "checked":
            raise BrokerError("nobody knows", where="commit")

    stage.on_step = fail
    assert worker.turn().outcome is Outcome.RESET
    stage.on_step = lambda _: None
    worker._late._ask_at = 0
    assert worker.turn().superseding == 0
    assert not [value for value in stage.values() if (value or b"").startswith(b"again")]


def test_a_record_that_fails_the_second_time_stops_nothing(stage: Stage) -> None:
    def fail(records: Sequence[Record]) -> list[Message]:
        raise ZeroDivisionError

    stage.current.second = fail
    worker = without_store(stage)
    stage.store_answers = True
    worker._late._ask_at = 0
    with capture_logs() as logs:
        assert worker.turn().superseding == 0
    assert [(one["event"], one["records"]) for one in logs] == [(log.ENRICHMENT_FAILED, 2)]


def test_events_of_a_lost_partition_are_left_to_their_first_prediction(stage: Stage) -> None:
    stage.current.second = again
    worker = without_store(stage)
    stage.source.assign()
    stage.store_answers = True
    worker._late._ask_at = 0
    assert worker.turn().superseding == 0


def test_without_the_setting_nothing_is_remembered(stage: Stage) -> None:
    stage.current.second = again
    stage.twin.write(0, b"default x")
    worker = stage.worker()
    assert [worker.turn().superseding, worker.turn().superseding] == [0, 0]
