"""Free ports."""

import random
import socket

import pytest

from jobs.services import port
from jobs.services.port import free_port, is_free
from scoretrail.errors import ServiceError


def test_a_port_is_free_and_out_of_the_way_of_outgoing_connections() -> None:
    found = {free_port() for _ in range(50)}
    assert all(15_000 <= one < 30_000 for one in found)
    assert len(found) > 40
    assert is_free(found.pop())


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken, free = listening.getsockname()[1], free_port()
        monkeypatch.setattr(random, "sample", lambda *_: [taken, free])
        assert free_port() == free


def test_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "is_free", lambda _: False)
    with pytest.raises(ServiceError, match="no free port"):
        free_port()
