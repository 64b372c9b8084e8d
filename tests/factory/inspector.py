"""A real browser whose inside is asked over its debugging pipe: what a screen reader is told, how wide a page is."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.factory.browser import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Chromium reads commands from descriptor 3 and answers on 4.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_END = b"\0"
LIMIT_S = 60


class Inspector:
    """One page in one browser, spoken to by the Chrome DevTools Protocol."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the result of a command; what happens meanwhile is kept in ``events``."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._commands, json.dumps(asked).encode() + _END)
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def open(self, page: Path, width: int, height: int = 1200, *, dark: bool = False) -> None:
        """Open a page and wait until it is loaded."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def told(self) -> list[tuple[str, str, str]]:
        """Return (role, name, description) of everything that a screen reader is told."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        parts = ("role", "name", "description")
        return [
            (found[0], found[1], found[2])
            for one in nodes
            if not one["ignored"]
            for found in [[str(one.get(part, {}).get("value", "")) for part in parts]]
        ]

    def fetched(self) -> list[str]:
        """Return what was asked for since the page was opened, itself included."""
        return [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[Any]:
        """Return what scripts threw, and what was written to the console or to the browser's log."""
        methods = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [one["params"] for one in self.events if one["method"] in methods]

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self) -> None:
        """Ask the browser to end."""
        self._session = None
        self.call("Browser.close")

    def _next(self) -> dict[str, Any]:
        while _END not in self._rest:
            more = os.read(self._answers, 1 << 16)
            assert more, "the browser has gone"
            self._rest += more
        one, _, self._rest = self._rest.partition(_END)
        told: dict[str, Any] = json.loads(one)
        return told


@contextmanager
def inspector(folder: Path) -> Iterator[Inspector]:
    """Start a browser without a window or a network, and end it."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no browser: apt-get install chromium")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    options = [
        "--headless=new",
        "--no-sandbox",  # refuses to run as root otherwise; what it opens is ours
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--proxy-server=127.0.0.1:9",  # nobody answers there
        f"--user-data-dir={folder / 'inspected'}",
        "--remote-debugging-pipe",
        "about:blank",
    ]
    launch = [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out), program, *options]
    with subprocess.Popen(launch, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL) as browser:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            spoken_to = Inspector(ours_out, ours_in)
            yield spoken_to
            spoken_to.close()
            browser.wait(LIMIT_S)
        finally:
            browser.kill()
            os.close(ours_in)
            os.close(ours_out)
