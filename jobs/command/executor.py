"""The executors of the configured master: what each one imports, seen by tasks that run there."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from jobs.command.finding import Finding, first_line
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark import SparkContext

    from scoretrail.config import SparkSettings

IMPORTS: Final = ("scoretrail", "onnxruntime", "pyarrow")
_ROUNDS: Final = 5
"""Tasks go where there is room: a busy executor may need more than one round to get one."""
_STAY_S: Final = 0.3
"""A task that ends at once would let one executor run them all."""
_LIMIT_S: Final = 180
"""A cluster without a free worker accepts a job and never runs it."""


def check_executors(settings: SparkSettings) -> list[Finding]:
    """Return what is found of Spark and of each executor.

    Args:
        settings: name the master.
    """
    from jobs.batch.spark.engine import SparkEngine

    engine = SparkEngine(settings, "scoretrail doctor")
    try:
        context = engine.session().sparkContext
        seen = _seen(context)
        expected = _executors(context)
    except ScoretrailError as error:
        fix = error.fix or "scoretrail doctor"
        return [Finding(check="Spark", found=settings.master, cause=error.got or error.what, fix=fix)]
    except Exception as error:  # noqa: BLE001  (Spark's, Java's and py4j's have no common name; each is the finding)
        fix = "check that the master answers, and that its workers run the driver's Python version"
        return [Finding(check="Spark", found=settings.master, cause=_telling_line(error), fix=fix)]
    finally:
        engine.stop()
    findings = [_judged(one) for one in seen]
    if len(seen) < expected:
        cause = f"{expected} executors are registered, and tasks reached {len(seen)}"
        findings.append(
            Finding(check="executors", found=str(len(seen)), cause=cause, fix="free their cores, try again")
        )
    return [Finding(check="Spark", found=f"{settings.master}, executors: {expected}"), *findings]


def look_around(imports: tuple[str, ...], stay_s: float) -> dict[str, Any]:
    """Return where this process runs and what it can import; travels to executors by value, so it imports for itself.

    Args:
        imports: names of modules.
        stay_s: seconds to keep the executor's core, so that other tasks go elsewhere.
    """
    import importlib
    import os
    import platform
    import socket
    import time

    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in imports:
        try:
            found[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
            missing[name] = f"{type(error).__name__}: {error}"
    time.sleep(stay_s)
    # An executor forks its Python workers from one daemon: the parent process is the executor's name here.
    return {
        "host": os.environ.get("SPARK_LOCAL_HOSTNAME") or socket.gethostname(),
        "executor": os.getppid(),
        "python": platform.python_version(),
        "found": found,
        "missing": missing,
    }


def _seen(context: SparkContext) -> list[dict[str, Any]]:
    """Return what each executor that tasks reached says of itself, one each, by host."""
    from pyspark import cloudpickle

    module = sys.modules[__name__]
    timer = threading.Timer(_LIMIT_S, context.cancelAllJobs)
    timer.start()
    cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        for _ in range(_ROUNDS):
            tasks = max(context.defaultParallelism, 2 * _executors(context))
            for one in context.parallelize(range(tasks), tasks).mapPartitions(_task).collect():
                seen[one["host"], one["executor"]] = one
            if len(seen) >= _executors(context):
                break
    finally:
        cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]
        timer.cancel()
    return [seen[key] for key in sorted(seen)]


def _task(_: Iterable[int]) -> Iterable[dict[str, Any]]:
    yield look_around(IMPORTS, _STAY_S)


def _executors(context: SparkContext) -> int:
    """Return how many executors are registered; in local mode the driver is the one."""
    infos = context._jsc.sc().statusTracker().getExecutorInfos()  # noqa: SLF001  (pyspark has no public name for it)
    return max(len(infos) - 1, 1)


def _judged(seen: dict[str, Any]) -> Finding:
    here = look_around(IMPORTS, 0)
    check = f"executor on {seen['host']}"
    versions = ", ".join(f"{name} {version}" for name, version in seen["found"].items())
    found = f"Python {seen['python']}, {versions or 'nothing of ours'}"
    if seen["missing"]:
        name, why = next(iter(seen["missing"].items()))
        cause = f"{name} cannot be imported there: {why}"
        return Finding(check=check, found=found, cause=cause, fix=_how_to_install(name))
    other = [name for name in IMPORTS if seen["found"][name] != here["found"].get(name)]
    if other:
        cause = f"{other[0]} {here['found'].get(other[0])} is the driver's, and bits are promised for equal versions"
        return Finding(check=check, found=found, cause=cause, fix="install locks/scoring.txt there as here")
    return Finding(check=check, found=found)


def _how_to_install(name: str) -> str:
    if name == "scoretrail":
        return "install the wheel there, or give it to spark-submit with --py-files"
    return "install locks/scoring.txt there, and let PYSPARK_PYTHON name that environment's Python"


def _telling_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if "Exception" in line or "Error" in line), first_line(error))[:300]
