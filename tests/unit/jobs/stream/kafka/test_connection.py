"""What the client's errors mean for the loop, and what a client is told of the brokers."""

from __future__ import annotations

import ssl
from types import SimpleNamespace

import pytest
from kafka import errors
from pydantic import SecretStr

from jobs.stream.kafka.connection import connection, translated
from scoretrail.errors import (
    BrokerError,
    ConfigurationError,
    ExitCode,
    FencedError,
    OffsetError,
    RefusedMessageError,
    ScoretrailError,
    StaleGroupError,
)
from scoretrail.setting import KafkaSettings


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (errors.ProducerFencedError(), FencedError),
        (errors.InvalidProducerEpochError(), FencedError),
        (errors.FencedInstanceIdError(), FencedError),
        (errors.IllegalGenerationError(), StaleGroupError),
        (errors.UnknownMemberIdError(), StaleGroupError),
        (errors.RebalanceInProgressError(), StaleGroupError),
        (errors.CommitFailedError(), StaleGroupError),
        (errors.MessageSizeTooLargeError(), RefusedMessageError),
        (errors.RecordListTooLargeError(), RefusedMessageError),
        (errors.OffsetOutOfRangeError({("events", 0): 10}), OffsetError),
        (errors.NoOffsetForPartitionError({("events", 0)}), OffsetError),
        (errors.TopicAuthorizationFailedError({"events"}), ConfigurationError),
        (errors.TransactionalIdAuthorizationFailedError(), ConfigurationError),
        (errors.SaslAuthenticationFailedError(), ConfigurationError),
        (errors.InvalidTransactionTimeoutError(), ConfigurationError),
        (errors.KafkaTimeoutError(), BrokerError),
        (errors.UnknownTopicOrPartitionError(), BrokerError),
        (errors.CoordinatorNotAvailableError(), BrokerError),
        (errors.OutOfOrderSequenceNumberError(), BrokerError),
        (errors.IllegalStateError(), BrokerError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_says_what_is_to_be_done(foreign: Exception, ours: type[ScoretrailError]) -> None:
    with pytest.raises(ScoretrailError) as raised, translated("somewhere"):
        raise foreign
    assert type(raised.value) is ours
    assert raised.value.where == "somewhere"


def test_an_error_state_is_asked_for_its_cause() -> None:
    manager = SimpleNamespace(last_error=errors.InvalidProducerEpochError())
    with pytest.raises(FencedError), translated("committing", manager):
        raise errors.KafkaError("we are in an error state: InvalidProducerEpochError")
    with pytest.raises(BrokerError), translated("committing", SimpleNamespace(last_error=None)):
        raise errors.KafkaError("something")


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (FileNotFoundError("ca.pem"), ConfigurationError),
        (ssl.SSLError("bad key"), ConfigurationError),
        (ConnectionResetError("reset"), BrokerError),
    ],
)
def test_a_file_that_is_missing_is_no_broker_that_is_away(error: OSError, ours: type[ScoretrailError]) -> None:
    with pytest.raises(ours), translated("connecting"):
        raise error


def test_a_lost_offset_is_named() -> None:
    with pytest.raises(OffsetError, match="events/3 at 10"), translated("polling"):
        raise errors.OffsetOutOfRangeError({("events", 3): 10})


@pytest.mark.parametrize(
    ("error", "code"),
    [(FencedError("x"), 75), (BrokerError("x"), 75), (OffsetError("x"), 78), (ConfigurationError("x"), 78)],
)
def test_exit_codes(error: ScoretrailError, code: int) -> None:
    assert error.exit_code is ExitCode(code)


def test_errors_of_others_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), translated("somewhere"):
        raise ZeroDivisionError


def test_a_plain_connection_says_nothing_of_tls_or_sasl() -> None:
    told = connection(KafkaSettings(bootstrap=("a:1", "b:2")))
    assert told["bootstrap_servers"] == ["a:1", "b:2"]
    assert not [name for name in told if name.startswith(("ssl_", "sasl_"))]


def test_a_secured_connection_verifies_and_logs_in() -> None:
    settings = KafkaSettings(security="SASL_SSL", username="scorer", password=SecretStr("secret"), ca_file="ca.pem")
    told = connection(settings)
    assert (told["security_protocol"], told["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (told["sasl_plain_username"], told["sasl_plain_password"]) == ("scorer", "secret")
    assert (told["ssl_check_hostname"], told["ssl_cafile"]) == (True, "ca.pem")
    assert "secret" not in repr(settings)
