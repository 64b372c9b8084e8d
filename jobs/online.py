"""The online store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scoretrail.errors import ConfigurationError

if TYPE_CHECKING:
    from scoretrail.feature.online_redis import RedisOnlineStore
    from scoretrail.setting import OnlineSettings

_SCHEMES: Final = ("redis", "rediss")
_MS: Final = 1000
_PORT: Final = 6379
"""Redis' own default."""


def open_store(settings: OnlineSettings) -> RedisOnlineStore:
    """Return the store; it is asked for nothing yet.

    Raises:
        ConfigurationError: no store is named, or its address cannot be understood or holds a password.
    """
    from scoretrail.feature.online_redis import RedisAddress, RedisOnlineStore  # noqa: PLC0415  (redis loads when used)

    if not settings.uri:
        raise ConfigurationError("no online store is named", where="online.uri", expected="redis://HOST:PORT/DB")
    scheme, host, port, database = _parts(settings.uri)
    address = RedisAddress(
        host=host,
        port=port,
        database=database,
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password else None,
        tls=scheme == "rediss",
        ca_file=settings.ca_file,
        connect_s=settings.connect_ms / _MS,
    )
    return RedisOnlineStore(address, read_keys=settings.chunk_keys)


def _parts(uri: str) -> tuple[str, str, int, int]:
    """Return scheme, host, port and number of the database.

    Raises:
        ConfigurationError: it is no such address, or holds a user or a password.
    """
    expected = "redis://HOST:PORT/DB, or rediss:// with TLS"
    try:
        parts = urlsplit(uri)
        port, database = parts.port or _PORT, int(parts.path.strip("/") or 0)
    except ValueError:
        parts, port, database = urlsplit(""), 0, 0
    if parts.username or parts.password:
        # Not shown: what stands there may be the password.
        raise ConfigurationError(
            "the online store's address holds a user or a password",
            where="online.uri",
            fix="set online.username, and online.password from the environment or a secret file",
        )
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment or database < 0:
        raise ConfigurationError(
            "the online store's address cannot be understood", where="online.uri", expected=expected
        )
    return parts.scheme, parts.hostname, port, database
