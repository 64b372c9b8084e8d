"""What is handed to Kafka's producer, and what its promises mean; the rest is shown on a real broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import errors
from kafka.partitioner import DefaultPartitioner

from jobs.stream.kafka.broker import KafkaOutput, _Listener, _Partitioner
from jobs.stream.port import Change, Partition
from jobs.stream.record import Message
from scoretrail.errors import BrokerError, FencedError, RefusedMessageError
from scoretrail.setting import KafkaSettings


class Producer:
    """Keeps what it is asked to send."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self._error = error

    def send(self, topic: str, *, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]) -> str:
        if self._error is not None:
            raise self._error
        self.sent.append((topic, value, key, headers))
        return "promise"


def output_of(producer: Producer) -> KafkaOutput:
    output = KafkaOutput(KafkaSettings(), "scoretrail-late-0")
    output._producer = producer
    return output


def promise(error: Exception | None = None, *, is_done: bool = True) -> Any:
    return SimpleNamespace(is_done=is_done, exception=error)


def test_bytes_go_out_as_they_are() -> None:
    producer = Producer()
    headers = (("a", b"1"), ("b", None))
    assert output_of(producer).send(Message("t", b"k", b"v", headers)) == "promise"
    assert producer.sent == [("t", b"v", b"k", [("a", b"1"), ("b", b"")])]


@pytest.mark.parametrize(
    ("key", "value", "sent"), [(b"k", None, None), (None, b"v", b"v"), (None, None, b"")], ids=["key", "value", "none"]
)
def test_a_message_without_key_and_value_goes_out_empty(key: bytes | None, value: bytes | None, sent: object) -> None:
    producer = Producer()
    output_of(producer).send(Message("t", key, value))
    assert producer.sent == [("t", sent, key, [])]


@pytest.mark.parametrize("partitions", [{0}, {0, 1, 2, 3}, {5, 3, 9}], ids=str)
def test_a_key_goes_where_the_default_of_the_client_puts_it(partitions: set[int]) -> None:
    cluster = SimpleNamespace(
        topics=lambda: {"t"},
        partitions_for_topic=lambda _: set(partitions),
        available_partitions_for_topic=lambda _: set(partitions),
    )
    for number in range(100):
        key = b"customer-%d" % number
        chosen, default = (
            one.partition("t", key, key, b"v", b"v", cluster) for one in (_Partitioner(), DefaultPartitioner())
        )
        assert chosen == default
    assert _Partitioner().partition("t", None, None, b"v", b"v", cluster) in partitions


def test_a_message_that_is_too_large_is_refused_at_once() -> None:
    with pytest.raises(RefusedMessageError):
        output_of(Producer(errors.MessageSizeTooLargeError())).send(Message("t", b"k", b"v"))


def test_every_promise_is_looked_at() -> None:
    check = output_of(Producer()).check
    too_large = promise(errors.RecordListTooLargeError())
    assert check([promise(), too_large, promise(), too_large]) == [1, 3]
    with pytest.raises(BrokerError, match="under way"):
        check([promise(), promise(is_done=False)])
    with pytest.raises(BrokerError):
        check([promise(), promise(errors.KafkaTimeoutError())])
    with pytest.raises(FencedError):
        check([promise(), promise(errors.InvalidProducerEpochError())])


def test_closing_what_was_never_opened_is_no_error() -> None:
    KafkaOutput(KafkaSettings(), "m").close()


def test_the_listener_keeps_what_happened_until_it_is_taken() -> None:
    listener = _Listener()
    listener.on_partitions_assigned([("events", 0), ("events", 1)])
    listener.on_partitions_lost([("events", 0)])
    listener.on_partitions_assigned([("events", 2)])
    gained = frozenset({Partition("events", 1), Partition("events", 2)})
    assert listener.take() == Change(gained, frozenset({Partition("events", 0)}), 2)
    assert listener.take() == Change()
