"""A free port of 127.0.0.1 that no client's connection can take while its server is restarted."""

from __future__ import annotations

import random
import socket
from typing import Final

from scoretrail.errors import ServiceError

_RANGE: Final = (15_000, 30_000)
"""Below what Linux (from 32,768) and macOS (from 49,152) give to outgoing connections: one of a client that waits for
its broker to come back could get the very port that the broker wants, and even connect to itself."""
_TRIES: Final = 100


def free_port() -> int:
    """Return a port that nobody listens on.

    Raises:
        ServiceError: there is none.
    """
    for port in random.sample(range(*_RANGE), _TRIES):
        if is_free(port):
            return port
    raise ServiceError("there is no free port on 127.0.0.1", expected=f"one of {_RANGE[0]:,} to {_RANGE[1]:,}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
