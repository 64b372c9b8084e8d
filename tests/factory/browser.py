"""A real browser without a window, that opens a page from a file and tells what became of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LIMIT_S = 120
_CONSOLE = re.compile(r'CONSOLE[^"]*"(?P<text>.*)", source: ')
_FETCHED = re.compile(r'<output id="test-fetched">(?P<names>.*?)</output>')
#: Tells, when all is loaded, what the page asked for besides itself, whether or not anybody answered.
_TELL = """
<script>addEventListener("load", () => setTimeout(() => {
  const told = document.createElement("output");
  told.id = "test-fetched";
  told.textContent = JSON.stringify(performance.getEntriesByType("resource").map((one) => one.name));
  document.body.append(told);
}, 3000));</script>
"""


@dataclass(frozen=True)
class Opened:
    """A page after its scripts have run."""

    dom: str
    console: tuple[str, ...]
    """What it wrote to the console, errors of scripts included."""
    fetched: tuple[str, ...]
    """What it asked others for; nobody answered."""
    screenshot: bytes
    """PNG."""


def open_page(page: Path, *, width: int = 1280, height: int = 2000) -> Opened:
    """Open a page without any network, and return what it became.

    Args:
        page: an HTML file.
        width: of the window, in pixels.
        height: of the window, in pixels.
    """
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no browser: apt-get install chromium")
    told, picture = page.with_suffix(".told.html"), page.with_suffix(".png")
    told.write_text(page.read_text(encoding="utf-8") + _TELL, encoding="utf-8")
    options = [
        "--headless=new",
        "--no-sandbox",  # refuses to run as root otherwise; what it opens is ours
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--proxy-server=127.0.0.1:9",  # nobody answers there
        f"--user-data-dir={page.parent / 'browser'}",
        f"--window-size={width},{height}",
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        "--dump-dom",
        f"--screenshot={picture}",
    ]
    done = subprocess.run(
        [program, *options, told.as_uri()], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    console = tuple(found["text"] for found in map(_CONSOLE.search, done.stderr.splitlines()) if found)
    names = _FETCHED.search(done.stdout)
    assert names, "the page was not loaded within its time"
    fetched = tuple(json.loads(html.unescape(names["names"])))
    return Opened(done.stdout, console, fetched, picture.read_bytes())
