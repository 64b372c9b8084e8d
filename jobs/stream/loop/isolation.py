"""Finds the records that fail a micro-batch, so that a poison event delays the others and never stops them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from scoretrail import log
from scoretrail.errors import ConfigurationError, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.stream.record import Message, Record


class Handler(Protocol):
    """Turns records into messages."""

    def handle(self, records: Sequence[Record]) -> Sequence[Message]:
        """Return exactly one message per record, in order: its prediction or its dead letter.

        Raises:
            StoreUnavailableError: the online store is away, and the policy is to wait.
        """
        ...

    def supersede(self, records: Sequence[Record]) -> Sequence[Message] | None:
        """Return second predictions of events that were scored without the online store; None while it is away."""
        ...

    def refuse(self, record: Record, error: BaseException) -> Message:
        """Return the dead letter of a record that fails alone: a small one where its size is at fault."""
        ...


def handle_apart(handler: Handler, records: Sequence[Record]) -> list[Message]:
    """Return one message per record: the handler's, or a dead letter for each record that fails alone.

    A micro-batch that fails is halved until the records that fail are found; n records with one such among them cost
    about 2 log n calls more.

    Args:
        handler: what makes the messages.
        records: the micro-batch.

    Raises:
        RetryLaterError: what is missing may come back: nothing is wrong with the records.
        ConfigurationError: a person must act: nothing is wrong with the records.
    """
    try:
        messages = list(handler.handle(records))
        if len(messages) == len(records):
            return messages
        failure: Exception = ValueError(f"{len(records)} records gave {len(messages)} messages")
    except (RetryLaterError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever the code of a bundle raises, the partition must go on)
        failure = error
    if len(records) == 1:
        (record,) = records
        log.get().warning(
            log.RECORD_ISOLATED,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error=type(failure).__name__,  # its text may quote the record
        )
        return [handler.refuse(record, failure)]
    middle = len(records) // 2
    return handle_apart(handler, records[:middle]) + handle_apart(handler, records[middle:])


def supersede(handler: Handler, records: Sequence[Record]) -> Sequence[Message] | None:
    """Return what the handler does; nothing where a record makes it fail, for then the first predictions stand.

    Raises:
        RetryLaterError: what is missing may come back.
        ConfigurationError: a person must act.
    """
    try:
        return handler.supersede(records)
    except (RetryLaterError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever the code of a bundle raises, the partition must go on)
        log.get().warning(log.ENRICHMENT_FAILED, records=len(records), error=type(error).__name__)
        return []
