"""The online store's address: understood, or refused without showing a password."""

import pytest
from pydantic import SecretStr

from jobs.online import open_store
from scoretrail.errors import ConfigurationError
from scoretrail.feature.online_redis import RedisAddress
from scoretrail.setting import OnlineSettings


def address(**settings: object) -> RedisAddress:
    return open_store(OnlineSettings.model_validate(settings))._address


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("redis://store:7000/2", RedisAddress(host="store", port=7000, database=2)),
        ("redis://store", RedisAddress(host="store")),
        ("redis://[::1]:6380/", RedisAddress(host="::1", port=6380)),
        ("rediss://store:7000/0", RedisAddress(host="store", port=7000, tls=True)),
    ],
)
def test_an_address_is_understood(uri: str, expected: RedisAddress) -> None:
    assert address(uri=uri) == expected


def test_who_we_are_comes_from_settings_of_its_own() -> None:
    found = address(uri="rediss://store/0", username="reader", password=SecretStr("s3cret"), ca_file="ca.pem")
    assert (found.username, found.password, found.ca_file) == ("reader", "s3cret", "ca.pem")
    assert "s3cret" not in repr(found)


def test_how_long_a_connection_may_take_is_a_setting() -> None:
    assert address(uri="redis://store", connect_ms=250).connect_s == 0.25
    assert address(uri="redis://store").connect_s == RedisAddress().connect_s


@pytest.mark.parametrize(
    "uri",
    [None, "", "store:6379", "http://store", "redis://", "redis://store:port/0", "redis://store/x", "redis://a/0?b=1"],
)
def test_what_is_no_address_is_refused(uri: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        address(uri=uri)
    assert caught.value.where == "online.uri"


@pytest.mark.parametrize("uri", ["redis://:s3cret@store/0", "redis://user:s3cret@store/0"])
def test_a_password_in_an_address_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="holds a user or a password") as caught:
        address(uri=uri)
    assert "s3cret" not in str(caught.value)
