"""One batch run in a process of its own, which may be told to wait at a step, or to be killed there.

``python -m tests.factory.driver SPEC`` takes a JSON file: where the workshop lies, what to score and how, on which
engine, and at which step to do what. The steps are calls of the code under test, wrapped from outside. The last line of
the output is the run's record, or the error.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import deltalake

from jobs.batch.publication import publish
from jobs.batch.spark.engine import SparkEngine
from scoretrail.config import SparkSettings
from scoretrail.errors import ScoretrailError
from scoretrail.table import OutputTable
from scoretrail.trail.run import RunStore
from tests.factory.workshop import InlineEngine, Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAIT_S = 300.0
#: Step -> what is wrapped, and whether the act comes before or after it.
STEPS: dict[str, tuple[Any, str, str]] = {
    "before the intent": (RunStore, "begin", "before"),
    "before scoring": (RunStore, "note_attempt", "after"),
    "before publishing": (publish, "check_files", "before"),
    "after the table is made": (OutputTable, "create", "after"),
    "before the rejects": (publish, "publish", "before"),
    "between the commits": (publish, "add_rejects", "after"),
    "at the commit": (deltalake.DeltaTable, "create_write_transaction", "before"),
    "after the commit": (publish, "settle", "before"),
    "before the record": (RunStore, "finish", "before"),
    "after the record": (RunStore, "finish", "after"),
}


def main(spec: dict[str, Any]) -> None:
    """Run what the specification says."""
    if spec.get("file_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["file_bytes"],) * 2)
    spark = SparkEngine(SparkSettings(master="local[2]"), "driver")
    engine: Any = spark if spec.get("engine") == "spark" else InlineEngine()
    shop = Workshop(Path(spec["folder"]), Path(spec["registry"]), engine)
    act = {"kill": kill, "wait": lambda: wait(Path(spec["meet"]), spec["name"])}[spec.get("act", "kill")]
    if spec.get("at") == "in the middle":
        threading.Thread(target=kill_after_messages, args=(shop, spec["messages"]), daemon=True).start()
    elif spec.get("at"):
        wrap(*STEPS[spec["at"]], act)
    try:
        run = shop.score(spec["model"], settings=spec.get("settings"), **spec.get("request", {}))
        told: dict[str, Any] = {"run_id": run.run_id, "status": run.status, "rows": run.rows, "files": run.files}
        told["pyspark"] = "pyspark" in sys.modules
    except ScoretrailError as error:
        told = {"error": type(error).__name__, "exit": int(error.exit_code), "text": str(error)}
    finally:
        engine.stop()
    sys.stdout.write(f"{json.dumps(told)}\n")


def wrap(owner: Any, name: str, when: str, act: Callable[[], None]) -> None:
    """Do something once: before the first call of a function, or after the first one that returned."""
    original = getattr(owner, name)
    left = iter([act])

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            next(left, lambda: None)()
        result = original(*arguments, **options)
        if when == "after":
            next(left, lambda: None)()
        return result

    setattr(owner, name, wrapped)


def kill() -> None:
    """End this process as the kernel does when memory is short: without a word, without a clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(WAIT_S)


def kill_after_messages(shop: Workshop, messages: int) -> None:
    """Be killed once so many pieces of work have their message."""
    place = Path(shop.output) / "_scoretrail"
    while sum(1 for _ in place.glob(str(Path("*", "work", "*.json")))) < messages:
        time.sleep(0.005)
    kill()


def wait(meet: Path, name: str) -> None:
    """Say that this process has come so far, and go on when the test says so."""
    (meet / f"{name}.ready").touch()
    deadline = time.monotonic() + WAIT_S
    while not (meet / "go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(meet)
        time.sleep(0.002)


class Driver:
    """The process, seen from the test."""

    def __init__(self, shop: Workshop, **spec: Any) -> None:
        values = {
            "folder": str(shop.folder),
            "registry": str(shop.registry),
            "model": "models:/parcel@champion",
            **spec,
        }
        file = shop.folder.with_name(f"spec-{time.monotonic_ns()}.json")
        file.write_text(json.dumps(values), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.factory.driver", str(file)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind, whatever the test found."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def assert_running(self) -> None:
        """Fail with what the process said if it has ended."""
        if self._process.poll() is not None:
            out, err = self._process.communicate()
            raise AssertionError(f"the process ended with {self._process.returncode}: {out}\n{err}")

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return the exit code (negative: the signal) and what was printed last."""
        with self:
            out, err = self._process.communicate(timeout=WAIT_S)
        code = self._process.returncode
        assert code in (0, -signal.SIGKILL), err
        return code, json.loads(out.splitlines()[-1]) if code == 0 else {}


def await_ready(meet: Path, drivers: Mapping[str, Driver]) -> None:
    """Wait until every process stands at its step."""
    deadline = time.monotonic() + WAIT_S
    while waited_for := [name for name in drivers if not (meet / f"{name}.ready").exists()]:
        assert time.monotonic() < deadline, f"{waited_for} did not come so far"
        for name in waited_for:
            drivers[name].assert_running()
        time.sleep(0.01)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    # As the command line does: PyArrow's pools may abort a process that is torn down.
    sys.stdout.flush()
    os._exit(0)
