"""What goes where: streams, tables, the one JSON object, and nothing when quiet."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.command.terminal import Terminal
from scoretrail.errors import BundleError, ConflictError

ROWS = [("champion", 336776, 0.6123456, True), ("challenger", 9, None, False)]
COLUMNS = ("model", "rows", "auc", "live")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def spoken(stream: type[io.StringIO] = io.StringIO, **options: bool) -> tuple[Terminal, io.StringIO, io.StringIO]:
    out, err = stream(), stream()
    return Terminal(stdout=out, stderr=err, **options), out, err


def test_a_table_is_aligned_text_where_there_is_no_terminal() -> None:
    terminal, out, err = spoken()
    terminal.table("models", COLUMNS, ROWS)
    assert out.getvalue() == (
        "models\nmodel          rows     auc  live\nchampion    336,776  0.6123  yes\nchallenger        9       -  no\n"
    )
    assert err.getvalue() == ""


def test_facts_have_no_header() -> None:
    terminal, out, _ = spoken()
    terminal.facts("run 1", {"rows": 1234, "table": "/t"})
    assert out.getvalue() == "run 1\nrows   1,234\ntable  /t\n"


def test_a_line_break_in_a_cell_does_not_break_the_row() -> None:
    terminal, out, _ = spoken()
    terminal.table("t", ("a", "b"), [("one\ntwo", "x")])
    assert out.getvalue() == "t\na        b\none two  x\n"


def test_a_table_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, out, _ = spoken(Screen)
    terminal.table("models", COLUMNS, [("✓", 1, 0.5, True)])
    assert "─" in out.getvalue()
    assert "\x1b[32m✓" in out.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal, out, _ = spoken(Screen)
    terminal.table("models", COLUMNS, ROWS)
    assert out.getvalue().startswith("models\nmodel ")


def test_brackets_are_text_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal, out, err = spoken(Screen)
    terminal.table("t", ("a",), [("local[*] [bold]",)])
    terminal.text("[red]x")
    terminal.step("[red]y")
    terminal.error(BundleError("[red]z"))
    assert "local[*] [bold]" in out.getvalue()
    assert "[red]x" in out.getvalue()
    assert "[red]y" in err.getvalue()
    assert "[red]z" in err.getvalue()


def test_json_is_one_object_and_the_rest_goes_elsewhere() -> None:
    terminal, out, err = spoken(as_json=True)
    terminal.step("working")
    terminal.table("models", COLUMNS, ROWS)
    terminal.facts("facts", {"a": 1})
    terminal.text("text")
    terminal.markdown("# text")
    terminal.result({"name": "é", "rows": 1})
    terminal.next("scoretrail x")
    assert json.loads(out.getvalue()) == {"name": "é", "rows": 1}
    assert out.getvalue().isascii()
    assert err.getvalue() == "working\n"


def test_without_json_the_result_is_for_people() -> None:
    terminal, out, _ = spoken()
    terminal.result({"rows": 1})
    assert out.getvalue() == ""


def test_a_result_that_is_no_json_is_refused() -> None:
    terminal, _, _ = spoken(as_json=True)
    with pytest.raises(TypeError, match="PosixPath is no JSON"):
        terminal.result({"path": Path("/x")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        terminal.result({"auc": float("nan")})


def test_quiet_leaves_results_warnings_and_errors() -> None:
    terminal, out, err = spoken(quiet=True)
    terminal.step("working")
    terminal.progress().start(1, 1)
    terminal.text("result")
    terminal.warn("look")
    terminal.next("scoretrail x")
    terminal.error(BundleError("bad"))
    assert out.getvalue() == "result\n"
    assert err.getvalue() == "warning: look\nerror: bad\n"


def test_the_last_line_says_what_to_run_next() -> None:
    terminal, out, err = spoken()
    terminal.next("scoretrail a", "scoretrail b")
    assert (out.getvalue(), err.getvalue()) == ("", "next: scoretrail a\n      scoretrail b\n")


def test_an_error_has_its_five_parts() -> None:
    terminal, out, err = spoken()
    terminal.error(BundleError("what", where="here", expected="this", got="that", fix="mend"))
    assert err.getvalue() == "error: what\n  where: here\n  expected: this\n  got: that\n  what to do: mend\n"
    assert out.getvalue() == ""


def test_what_may_pass_says_so() -> None:
    terminal, _, err = spoken()
    terminal.error(ConflictError("moved"))
    assert err.getvalue().endswith("what to do: run the same command again later\n")


def test_an_error_is_the_object_only_where_there_was_no_result() -> None:
    terminal, out, _ = spoken(as_json=True)
    terminal.error(BundleError("what", got="that"))
    assert json.loads(out.getvalue())["error"] == {
        "type": "BundleError",
        "what": "what",
        "where": None,
        "expected": None,
        "got": "that",
        "fix": None,
        "disposition": "stop",
        "exit_code": 65,
    }
    terminal, out, _ = spoken(as_json=True)
    terminal.result({"ok": False})
    terminal.error(BundleError("what"))
    assert json.loads(out.getvalue()) == {"ok": False}


def on_a_terminal(tmp_path: Path, **environment: str) -> str:
    """Run the program with a real terminal as its output, and return what was written there."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "model", "list"],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color", **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux says EIO where the last writer closed
            break
        if not chunk:
            break
        written += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0
    return written.decode()


@pytest.mark.integration
@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_real_terminal_gets_colour_unless_it_is_unwanted(
    tmp_path: Path, environment: dict[str, str], coloured: bool
) -> None:
    written = on_a_terminal(tmp_path, **environment)
    assert "There are no models" in written
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", written)) is coloured
