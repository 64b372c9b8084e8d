"""Answers about a worker's health over HTTP: alive, ready, version, metrics; any other path is not there."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from scoretrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_JSON: Final = "application/json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
_LOOK_S: Final = 0.1
"""How often the thread looks whether it is to end."""
_CLIENT_S: Final = 2.0
"""One thread serves all: a client that dawdles is cut off."""


@dataclass(frozen=True)
class Checked:
    """The answer to one question."""

    ok: bool
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Who knows the answers; each is called on the server's thread."""

    live: Callable[[], Checked]
    ready: Callable[[], Checked]
    version: Callable[[], Mapping[str, Any]]
    metrics: Callable[[], bytes]


class HealthServer:
    """An HTTP server on one thread; a context."""

    def __init__(self, host: str, port: int, probes: Probes) -> None:
        """Bind.

        Args:
            host: 127.0.0.1, unless others are to see it.
            port: 0 takes a free one.
            probes: who knows.

        Raises:
            ConfigurationError: the port is taken.
        """
        try:
            self._server = _Server((host, port), probes)
        except OSError as error:
            raise ConfigurationError(
                "the health server cannot listen",
                where=f"stream.health_host, stream.health_port: {host}:{port}",
                got=str(error),
                fix="choose another port; 0 takes a free one",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), name="health", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(HTTPServer):
    def __init__(self, address: tuple[str, int], probes: Probes) -> None:
        self.probes = probes
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_S
    server: _Server

    def do_GET(self) -> None:
        probes = self.server.probes
        path = self.path.partition("?")[0]
        if path == "/livez":
            self._checked(probes.live())
        elif path == "/readyz":
            self._checked(probes.ready())
        elif path == "/version":
            self._answer(HTTPStatus.OK, _JSON, _encoded(probes.version()))
        elif path == "/metrics":
            self._answer(HTTPStatus.OK, _METRICS, probes.metrics())
        else:
            self._answer(HTTPStatus.NOT_FOUND, _JSON, b'{"error":"not found"}')

    do_HEAD = do_GET  # noqa: N815  (the base class's name)

    def _checked(self, checked: Checked) -> None:
        status = HTTPStatus.OK if checked.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, _JSON, _encoded({"ok": checked.ok, **checked.facts}))

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  (the base class's names)
        """Say nothing: probes come every few seconds."""


def _encoded(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()
