"""How brokers are reached, and what their refusals mean: the only place that turns kafka-python's errors into ours."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, NoReturn

from kafka import errors
from kafka.structs import TopicPartition

from jobs.stream.port import Partition
from scoretrail.errors import (
    BrokerError,
    ConfigurationError,
    FencedError,
    OffsetError,
    RefusedMessageError,
    StaleGroupError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from scoretrail.setting import KafkaSettings

_MS: Final = 1000
_FENCED: Final = (
    errors.ProducerFencedError,
    errors.InvalidProducerEpochError,
    errors.FencedInstanceIdError,
    errors.InvalidProducerIdMappingError,
    errors.InvalidTxnStateError,
    errors.UnreleasedInstanceIdError,
)
_STALE: Final = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.RebalanceInProgressError,
    errors.UnknownMemberIdError,
)
TOO_LARGE: Final = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
"""What a client or a topic says of a message that it does not take."""
_REFUSING: Final = (
    errors.AuthorizationError,
    errors.IncompatibleBrokerVersion,
    errors.InconsistentGroupProtocolError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeoutError,
    errors.KafkaConfigurationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)


def to_client(partitions: Collection[Partition]) -> list[TopicPartition]:
    """Return partitions as the client names them."""
    return [TopicPartition(*partition) for partition in partitions]


def from_client(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    """Return offsets by partitions as we name them."""
    return {Partition(*partition): offset for partition, offset in offsets.items()}


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every client needs to reach the brokers, by kafka-python's names."""
    found: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap),
        "security_protocol": settings.security,
        "bootstrap_timeout_ms": round(settings.bootstrap_s * _MS),
    }
    if settings.security.endswith("SSL"):
        found |= {
            "ssl_check_hostname": settings.check_hostname,
            "ssl_cafile": settings.ca_file,
            "ssl_certfile": settings.cert_file,
            "ssl_keyfile": settings.key_file,
            "ssl_password": settings.key_password.get_secret_value() if settings.key_password else None,
        }
    if settings.security.startswith("SASL") and settings.password is not None:
        found |= {
            "sasl_mechanism": settings.mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password.get_secret_value(),
        }
    return found


@contextlib.contextmanager
def translated(where: str, manager: Any = None) -> Iterator[None]:  # noqa: ANN401  (kafka-python has no public type for it)
    """Turn kafka-python's exceptions into ours: the only place where that is done.

    Args:
        where: what was being done.
        manager: the producer's transaction manager, which alone knows the cause of some errors.

    Raises:
        FencedError: another process has the slot, or the broker gave up on this one.
        StaleGroupError: the group moved on.
        RefusedMessageError: a message is too large.
        OffsetError: the next offset is unknown or gone.
        ConfigurationError: the brokers refuse what was asked, and will again.
        BrokerError: anything else; nobody knows what became of it.
    """
    try:
        yield
    except errors.KafkaError as error:
        refuse(error, where, manager)
    except (FileNotFoundError, PermissionError, ssl.SSLError) as error:  # of a certificate's file
        raise ConfigurationError("the connection cannot be set up", where=where, got=str(error)) from error
    except OSError as error:
        raise BrokerError("the brokers cannot be reached", where=where, got=str(error)) from error


def refuse(error: Exception, where: str, manager: Any = None) -> NoReturn:  # noqa: ANN401  (as above)
    """Raise ours for one of kafka-python's; for calls that are too many for a context each.

    Raises:
        FencedError: see :func:`translated`.
        StaleGroupError: see there.
        RefusedMessageError: see there.
        OffsetError: see there.
        ConfigurationError: see there.
        BrokerError: see there.
    """
    # What is raised in an error state names its cause in words only.
    known = manager.last_error if manager is not None and type(error) is errors.KafkaError else None
    cause: BaseException = known or error
    got = str(cause)[:300]
    if isinstance(cause, _FENCED):
        raise FencedError(
            "this worker is fenced: another process has its slot, or its transaction ran into the time limit",
            where=where,
            got=got,
            fix="nothing, if it was restarted; else see that no two workers have the same slot",
        ) from error
    if isinstance(cause, _STALE):
        raise StaleGroupError("the group moved on", where=where, got=got) from error
    if isinstance(cause, TOO_LARGE):
        raise RefusedMessageError("a message is too large", where=where, got=got) from error
    if isinstance(cause, errors.NoOffsetForPartitionError):
        raise OffsetError(
            "the group has committed no offset for a partition",
            where=where,
            got=_partitions(cause),
            fix="stop the group's workers and start one with --from earliest, latest or a time",
        ) from error
    if isinstance(cause, (errors.OffsetOutOfRangeError, errors.LogTruncationError)):
        raise OffsetError("the next records are no longer there", where=where, got=_partitions(cause)) from error
    if isinstance(cause, _REFUSING):
        raise ConfigurationError(
            "the brokers refuse it", where=where, got=got, fix="`scoretrail stream preflight` checks every requirement"
        ) from error
    raise BrokerError("the brokers do not answer as they should", where=where, got=got) from error


def _partitions(cause: BaseException) -> str:
    named = cause.args[0] if cause.args and not isinstance(cause.args[0], str) else {}
    if isinstance(named, dict):
        return ", ".join(f"{topic}/{number} at {offset}" for (topic, number), offset in sorted(named.items()))
    return ", ".join(f"{topic}/{number}" for topic, number in sorted(named))
