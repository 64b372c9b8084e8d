"""What it costs to grow: more rows, more tasks, longer files, and very many small ones."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.figure import Figure, at_most, table
from benchmarks.fresh import session_job
from benchmarks.material import FILE_ROWS
from benchmarks.sitting import Sitting

_MEMORY_LIMIT: Final = 1.2
_ONE_GROUP_LIMIT: Final = 1.5
_PLAN_LIMIT_S: Final = 120
_COMMIT_LIMIT_S: Final = 10
_DRIVER_LIMIT_MIB: Final = 2048
_FILES_ASKED: Final = 100_000


def rows_and_tasks(sitting: Sitting) -> None:
    """Measure 1/8, 1/4, 1/2 and all of the rows, and all with 1, 2 and 4 tasks: the second job of a session."""
    for model in sitting.models:
        rows = []
        for part in (8, 4, 2, 1):
            count = sitting.rows // part
            job = _second_job(sitting, model, count, sitting.place.cores)
            rows.append((f"{count:,} rows", *_costs(job, count)))
        for tasks in (1, 2, 4):
            job = _second_job(sitting, model, sitting.rows, tasks)
            rows.append((f"{sitting.rows:,} rows, {tasks} tasks", *_costs(job, sitting.rows)))
        head = ("", "seconds", "M rows/s", "plan, s", "score, s", "publish, s")
        sitting.tables.append((f"Growing, {model}, second job of a session", table(head, rows)))


def memory(sitting: Sitting) -> None:
    """Measure the peak memory of a worker that scores one file: of 1/8 of the rows, of all, and in one row group."""
    small, large = sitting.rows // 8, sitting.rows
    peaks = {}
    for name, rows, group in (
        ("short", small, None),
        ("long", large, None),
        ("short, one row group", small, small),
        ("long, one row group", large, large),
    ):
        layout = {"files": 1} | ({"group_rows": group} if group else {})
        found = session_job(sitting.place, "ours", "linear", sitting.source(rows, **layout), cores=1)
        peaks[name] = found["peak_mib"]["worker"]
        sitting.tell(f"memory, {name}: worker {peaks[name]:.0f} MiB")
    sitting.raw["peak MiB of a worker"] = peaks
    for long, name, limit in (
        ("long", "in one file", _MEMORY_LIMIT),
        ("long, one row group", "in one row group", _ONE_GROUP_LIMIT),
    ):
        ratio = peaks[long] / peaks["short"]
        text = f"{ratio:.2f} ({peaks[long]:.0f} ÷ {peaks['short']:.0f} MiB)"
        title = f"peak memory of a worker, {large:,} rows {name} ÷ {small:,} rows"
        sitting.figures.append(at_most(title, ratio, text, limit))


def small_files(sitting: Sitting) -> None:
    """Measure very many small files: planned, packed, scored and committed; and the run after, with nothing to do."""
    files = sitting.small_files
    source = sitting.source(files * 80, files=files)
    found = session_job(sitting.place, "ours", "linear", source)
    stages, peak = found["jobs"][0]["stages"], found["peak_mib"]
    sitting.raw[f"{files:,} files"] = found
    score_s = stages["score"] - stages["spark_start"]
    driver = f"{peak['driver']:.0f} MiB Python, {peak['jvm']:.0f} MiB JVM"
    asked = files == _FILES_ASKED
    limits = [
        (f"{files:,} files: planned", stages["plan"], f"{stages['plan']:.1f} s", _PLAN_LIMIT_S, " s"),
        (f"{files:,} files: committed", stages["publish"], f"{stages['publish']:.1f} s", _COMMIT_LIMIT_S, " s"),
        (f"{files:,} files: driver", peak["driver"] + peak["jvm"], driver, _DRIVER_LIMIT_MIB, " MiB"),
    ]
    for name, value, text, limit, unit in limits:
        sitting.figures.append(at_most(name, value, text, limit, unit) if asked else Figure(name, text))
    text = f"{score_s:.0f} s, {files / score_s:,.0f} files/s, {files * 80 / score_s:,.0f} rows/s"
    sitting.figures.append(Figure(f"{files:,} files: packed and scored", text))


def _second_job(sitting: Sitting, model: str, rows: int, tasks: int) -> dict[str, Any]:
    source = sitting.source(rows, files=max(2, sitting.rows // FILE_ROWS * rows // sitting.rows))
    found = session_job(sitting.place, "ours", model, source, cores=tasks, jobs=2)
    sitting.raw[f"growing, {model}, {rows} rows, {tasks} tasks"] = found
    job: dict[str, Any] = found["jobs"][1]
    sitting.tell(f"growing, {model}: {rows:,} rows, {tasks} tasks: {job['seconds']:.2f} s")
    return job


def _costs(job: dict[str, Any], rows: int) -> tuple[str, ...]:
    stages = job["stages"]
    return (
        f"{job['seconds']:.2f}",
        f"{rows / job['seconds'] / 1e6:.2f}",
        *(f"{stages[name]:.2f}" for name in ("plan", "score", "publish")),
    )
