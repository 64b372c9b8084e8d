"""A server of the S3 protocol on 127.0.0.1: moto behind a real HTTP socket, in a process of its own.

moto looks whether an object is there and then writes it, in two steps: with several threads two exclusive creates
(``If-None-Match: *``) can both succeed, which S3 itself rules out. So the server answers one request at a time. What a
race shows here is that *our* protocol needs no more than an atomic exclusive create, not that some S3 has one.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

START_LIMIT_S = 60


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    endpoint: str

    @property
    def options(self) -> dict[str, str]:
        """The storage options that reach it."""
        return {
            "aws_endpoint_url": self.endpoint,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "aws_region": "us-east-1",
            "allow_http": "true",
        }

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its URI."""
        # The scope of the credential tells moto which of its services is meant; it checks no signature.
        scope = f"{self.options['aws_access_key_id']}/20131201/{self.options['aws_region']}/s3/aws4_request"
        request = urllib.request.Request(  # noqa: S310  (http to 127.0.0.1)
            f"{self.endpoint}/{name}",
            b"",
            method="PUT",
            headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}"},
        )
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            return f"s3://{name}"


@contextlib.contextmanager
def running() -> Iterator[S3Server]:
    """Start a server on a free port, and end it on the way out."""
    with tempfile.TemporaryDirectory(prefix="s3-server-") as folder:
        port_file = Path(folder, "port")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.factory.s3_server", port_file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server = S3Server(f"http://127.0.0.1:{_port(process, port_file)}")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def _port(process: subprocess.Popen[bytes], port_file: Path) -> int:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {process.returncode}: python -m tests.factory.s3_server FILE")
        if port_file.is_file() and port_file.read_text(encoding="utf-8").endswith("\n"):
            return int(port_file.read_text(encoding="utf-8"))
        time.sleep(0.05)
    raise TimeoutError("the S3 server did not start")


def _serve(port_file: Path) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=False)
    # The socket listens already: whoever reads the port may connect.
    port_file.write_text(f"{server.server_port}\n", encoding="utf-8")
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
