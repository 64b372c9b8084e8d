"""Prometheus, Alertmanager and their tools as they are installed, and a server that plays exporter and receiver."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

READY_S = 30.0
PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
}
"""Program -> Debian's package; elsewhere Alertmanager's program has its own name."""


def program(name: str) -> str:
    """Return where a program is, or skip the test."""
    found = shutil.which(name) or shutil.which(name.removeprefix("prometheus-"))
    if found is None:
        pytest.skip(f"there is no {name}: sudo apt-get install -y --no-install-recommends {PACKAGES[name]}")
    return found


def call(name: str, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    command = [program(name), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@dataclass
class Station:
    """Serves metrics from a folder of textfiles as node_exporter would, and keeps what is posted to it."""

    folder: Path
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of each notification."""
    port: int = 0

    def metrics(self) -> bytes:
        """Return all files, one after the other; HELP and TYPE of a metric once, as a collector has them."""
        seen: set[str] = set()
        lines = []
        for path in sorted(self.folder.glob("*.prom")):
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.startswith("#") and line in seen:
                    continue
                seen.add(line)
                lines.append(line)
        return ("\n".join(lines) + "\n").encode()

    def alerts(self, path: str) -> list[dict[str, Any]]:
        """Return the firing alerts that were posted to a path, as often as they were."""
        return [one for at, body in self.posted if at == path for one in body["alerts"] if one["status"] == "firing"]


@contextlib.contextmanager
def station(folder: Path) -> Iterator[Station]:
    """Serve a folder on a free port of 127.0.0.1."""
    found = Station(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.metrics()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posted.append((self.path, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.port = int(server.server_address[1])
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running(name: str, *arguments: str, ready: str, log: Path) -> Iterator[None]:
    """Run a server until the context ends.

    Args:
        name: the program.
        arguments: its arguments.
        ready: a URL that answers 200 once it is ready.
        log: takes what it says.
    """
    with log.open("wb") as out, subprocess.Popen([program(name), *arguments], stdout=out, stderr=out) as process:
        try:
            until(lambda: answers(ready) or process.poll() is not None, f"{name} is not ready")
            assert process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            yield
        finally:
            process.kill()


def answers(url: str) -> bool:
    """Tell whether a URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310  (a URL of ours)
            return bool(response.status == 200)
    except OSError:
        return False


def until(holds: Callable[[], bool], otherwise: str, limit_s: float = READY_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
