"""What is answered over HTTP, and what is not there."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.stream.operation.health import Checked, HealthServer, Probes
from scoretrail.errors import ConfigurationError

STATE = {"live": True, "ready": False}


@pytest.fixture
def server() -> Iterator[HealthServer]:
    probes = Probes(
        live=lambda: Checked(STATE["live"], {"loop_age_s": 0.1}),
        ready=lambda: Checked(STATE["ready"], {"assigned": 0}),
        version=lambda: {"model": "parcel"},
        metrics=lambda: b"scoretrail_stream_events_total 1.0\n",
    )
    with HealthServer("127.0.0.1", 0, probes) as running:
        yield running


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()
    finally:
        connection.close()


def answer(server: HealthServer, path: str) -> tuple[int, Any]:
    status, content_type, body = ask(server, path)
    assert content_type == "application/json"
    return status, json.loads(body)


def test_alive_and_ready_are_two_questions(server: HealthServer) -> None:
    assert answer(server, "/livez") == (200, {"ok": True, "loop_age_s": 0.1})
    assert answer(server, "/readyz") == (503, {"ok": False, "assigned": 0})


def test_version_and_metrics(server: HealthServer) -> None:
    assert answer(server, "/version") == (200, {"model": "parcel"})
    assert ask(server, "/metrics") == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        b"scoretrail_stream_events_total 1.0\n",
    )
    assert ask(server, "/metrics", "HEAD")[2] == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/livez/x", "/favicon.ico"])
def test_any_other_path_is_not_there(server: HealthServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_others_may_not_write(server: HealthServer) -> None:
    assert http.HTTPStatus(post(server)) is http.HTTPStatus.NOT_IMPLEMENTED


def post(server: HealthServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", "/metrics", body=b"")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_client_that_says_nothing_is_cut_off(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.stream.operation.health._Handler.timeout", 0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10):
        assert ask(server, "/livez")[0] == 200


def test_a_port_that_is_taken_is_named(server: HealthServer) -> None:
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{server.port}"):
        HealthServer("127.0.0.1", server.port, server._server.probes)
