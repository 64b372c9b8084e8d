"""Python workers are killed with SIGKILL while they score; Spark starts others, and nothing is lost or twice."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scoretrail.errors import EngineError, ExitCode
from tests.factory.workshop import Workshop, bits_by_key, records, with_values

FILES, ROWS = 40, 50
SETTINGS = {"batch.tasks": 2, "batch.pack_files": 10, "batch.batch_rows": 1}
"""Rows are scored one by one, so that there is time to kill."""


def children_of(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _read(task / "children").split()]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


class Killer(threading.Thread):
    """Kills Python workers of our own Spark, once work is under way."""

    def __init__(self, shop: Workshop, kills: int) -> None:
        super().__init__(daemon=True)
        self._place = Path(shop.output) / "_scoretrail"
        gateway: Any = shop.engine.session().sparkContext._gateway
        self._jvm = gateway.proc.pid
        self._left = kills
        self.killed: list[int] = []
        self.done = threading.Event()

    def workers(self) -> list[int]:
        """Return the forked workers: grandchildren of the JVM, which is a child of ours or below its launcher."""
        below = [self._jvm, *children_of(self._jvm)]
        children = [pid for parent in below for pid in children_of(parent)]
        daemons = [pid for pid in children if "pyspark" in _read(Path(f"/proc/{pid}/cmdline"))]
        return [pid for daemon in daemons for pid in children_of(daemon)]

    def run(self) -> None:
        began: int | None = None
        while self._left and not self.done.is_set():
            messages = sum(1 for _ in self._place.glob(str(Path("*", "work", "*.json"))))
            if messages and messages != began:  # a worker has come so far that it wrote something
                for pid in self.workers()[: self._left]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed.append(pid)
                        self._left -= 1
                began = messages
            time.sleep(0.01)


def write_input(shop: Workshop) -> None:
    for i in range(FILES):
        shop.write(f"ds={i % 4}/{i:02d}.parquet", with_values("weight_kg", {0: -1.0}, ROWS, i * ROWS))


def test_workers_that_are_killed_are_replaced(shop: Workshop) -> None:
    write_input(shop)
    expected = shop.copy("undisturbed")
    expected.score()
    killer = Killer(shop, kills=2)
    killer.start()
    run = shop.score(settings=SETTINGS)
    killer.done.set()
    killer.join()
    assert len(killer.killed) == 2
    assert (run.status, run.rows["scored"], run.rows["rejected"]) == ("published", FILES * (ROWS - 1), FILES)
    assert bits_by_key(shop.rows()) == bits_by_key(expected.rows())
    places = zip(shop.rejects()["source_path"].to_pylist(), shop.rejects()["source_row"].to_pylist(), strict=True)
    assert Counter(places) == Counter({(f"ds={i % 4}/{i:02d}.parquet", 0): 1 for i in range(FILES)})


def test_workers_that_are_killed_every_time_end_in_try_later_and_the_same_command_goes_on(shop: Workshop) -> None:
    for i in range(FILES):
        shop.write(f"{i:02d}.parquet", records(ROWS, i * ROWS))
    killer = Killer(shop, kills=1000)
    killer.start()
    with pytest.raises(EngineError, match="Spark gave up on a task") as caught:
        shop.score(settings={**SETTINGS, "batch.tasks": 1, "batch.pack_files": FILES})
    killer.done.set()
    killer.join()
    assert caught.value.exit_code is ExitCode.RETRY
    assert len(killer.killed) >= 4  # spark.task.maxFailures
    assert not shop.table().exists
    [run_id] = shop.store().run_ids()
    done = len(shop.store().work_keys(run_id))
    assert 0 < done < FILES
    run = shop.score(settings=SETTINGS)
    assert (run.run_id, run.rows["scored"]) == (run_id, FILES * ROWS)
    assert Counter(shop.rows()["parcel_id"].to_pylist()) == Counter(records(FILES * ROWS)["parcel_id"].to_pylist())
