"""What a preflight sees of the online store: whether it answers, lets this user in, and lets it read features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs import online
from jobs.stream.preflight.seen import Seen
from scoretrail.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scoretrail.setting import OnlineSettings

_KEY: Final = "fs:preflight"
"""Below the prefix of all keys of features, and none of them."""
_LIMIT_S: Final = 2.0
"""A connection with its handshakes is not held to the deadline of a read."""


def look_at_store(settings: OnlineSettings) -> Iterator[Seen]:
    """Yield what is seen of the store; nothing where none is configured."""
    if settings.uri is None:
        return
    try:
        store = online.open_store(settings)
    except ConfigurationError as error:
        yield Seen("store", ok=False, text=error.what, fix=error.fix or "set online.uri")
        return
    try:
        store.ping()
        yield Seen("store", ok=True, text=f"answers {settings.username or 'the default user'}")
        store.read([_KEY], _LIMIT_S)
        yield Seen("acl store", ok=True, text="MGET of fs:*")
    except StoreUnavailableError as error:
        text = f"{error.what}: {error.got}" if error.got else error.what
        yield Seen("store", ok=False, text=text, fix=error.fix or "look at the server's log")
    finally:
        store.close()
