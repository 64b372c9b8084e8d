"""A page of the documentation as a reader works through it: its commands are run, and what it shows has to come out.

Blocks marked ``sh`` are run, in their order, in one shell; those marked ``shell`` are only shown. A block marked
``text`` after a command shows its output: ``…`` stands for anything, a line that is only ``…`` for any lines.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
#: Between the outputs of two blocks: the record separator, which no command of ours prints.
SEPARATOR = "\x1e"
#: A reader's program that has said everything may still be aborted at its end: a pool of PyArrow 26.0.1 can start a
#: thread while the interpreter is taken apart (1 in 60 scripts that read one Parquet file). What it said is compared.
PRELUDE = 'set -e\npython() { command python "$@" || [ $? -eq 134 ]; }\n'


@dataclass(frozen=True)
class Step:
    """Commands, and the output that the page shows for them."""

    commands: str
    shown: str | None


def steps(text: str) -> list[Step]:
    """Return the steps of a page, in order."""
    blocks = [(match["kind"], match["body"]) for match in BLOCK.finditer(text)]
    found = []
    for (kind, body), (next_kind, next_body) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh":
            found.append(Step(body, next_body if next_kind == "text" else None))
    return found


def matches(shown: str, printed: str) -> bool:
    """Tell whether an output is what a page shows, in whole lines, with any lines before and after it."""
    parts = []
    for line in shown.strip("\n").split("\n"):
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r"[ ]*" + r"[^\n]*".join(map(re.escape, line.strip().split("…"))) + r"[ ]*\n")
    return re.search(r"^" + "".join(parts), printed.rstrip("\n") + "\n", re.MULTILINE) is not None


def run(text: str, folder: Path, limit_s: float) -> list[tuple[Step, str]]:
    """Run a page's commands in a folder, with the environment of the tests; return each step with what it printed.

    Raises:
        AssertionError: a command failed; its step and its last words are in the message.
    """
    found = steps(text)
    script = PRELUDE + "".join(f"{step.commands}\nprintf '{SEPARATOR}'\n" for step in found)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
    )
    printed = done.stdout.split(SEPARATOR)
    if done.returncode:
        failed = found[min(len(printed), len(found)) - 1].commands
        msg = f"exit code {done.returncode} in\n{failed}\n{printed[-1][-2000:]}\n{done.stderr[-3000:]}"
        raise AssertionError(msg)
    return list(zip(found, printed, strict=False))


def untrue(outcome: list[tuple[Step, str]]) -> list[str]:
    """Return what a page shows and did not come out, each with what did."""
    return [
        f"shown:\n{step.shown}\nprinted:\n{printed}"
        for step, printed in outcome
        if step.shown is not None and not matches(step.shown, printed)
    ]
