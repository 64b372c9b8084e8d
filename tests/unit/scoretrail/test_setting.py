"""What a worker's settings refuse, and what they never show."""

from __future__ import annotations

import pytest

from scoretrail.config import load
from scoretrail.errors import ConfigurationError
from scoretrail.setting import KafkaSettings


@pytest.mark.parametrize(
    "values",
    [
        {"delivery_s": 5},
        {"transaction_s": 10},
        {"watchdog_s": 30},
        {"security": "SASL_SSL"},
        {"security": "SASL_PLAINTEXT", "username": "scorer"},
    ],
)
def test_times_out_of_order_and_a_login_without_a_password_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"delivery_s < transaction_s|a username and a password"):
        KafkaSettings(**values)  # type: ignore[arg-type]


def test_passwords_come_from_the_environment_and_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORETRAIL__KAFKA__PASSWORD", "hunter2")
    monkeypatch.setenv("SCORETRAIL__ONLINE__PASSWORD", "hunter2")
    resolved = load({})
    assert resolved.settings.kafka.password is not None
    assert resolved.settings.kafka.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(resolved.masked())
    assert "hunter2" not in repr(list(resolved.rows()))


def test_lists_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORETRAIL__KAFKA__BOOTSTRAP", '["a:1", "b:2"]')
    assert load({}).settings.kafka.bootstrap == ("a:1", "b:2")


def test_times_out_of_order_name_the_section() -> None:
    with pytest.raises(ConfigurationError, match="delivery_s < transaction_s"):
        load({"kafka.delivery_s": 5})
