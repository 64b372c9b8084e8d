"""Saturated: a topic that was filled before, and how fast readers of committed records see workers empty it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any, Final

from benchmarks.figure import at_least, table
from benchmarks.pairing import run_rounds, speed_ratio
from benchmarks.stream_reader import Plan
from benchmarks.stream_sitting import StreamSitting, spread
from benchmarks.stream_stage import OURS, PLAIN, cpu_s

_EVENTS_A_S: Final = 10_000
"""About as many as are read in a second of the sitting."""
_JOINING_S: Final = 6
"""A second worker takes its partitions that late, while the first one reads."""
_UNIT: Final = 10_000
_RATIO: Final = 0.6
_RATE: Final = 8_000


@dataclass(frozen=True)
class Emptied:
    """One run of one contestant, from the moment when all workers had their partitions and a first event was seen."""

    events: int
    seconds: float
    cpu_us: Mapping[str, float]
    """Microseconds of a core for an event, by process."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def saturated(sitting: StreamSitting) -> None:
    """Measure throughput with as many workers as are asked for."""
    most = max(_events(sitting, workers) for workers in sitting.workers)
    source = sitting.stage.topic()
    sitting.tell(f"saturated: {most:,} events are sent")
    sitting.stage.feed(source, "s", most)
    for workers in sitting.workers:
        _measure(sitting, source, workers)


def _events(sitting: StreamSitting, workers: int) -> int:
    return round((sitting.seconds + _JOINING_S * (workers > 1)) * _EVENTS_A_S)


def _measure(sitting: StreamSitting, source: str, workers: int) -> None:
    found: dict[str, list[Emptied]] = {OURS: [], PLAIN: []}

    def run(name: str) -> float:
        emptied = _empty(sitting, name, source, workers)
        found[name].append(emptied)
        return _UNIT / emptied.rate

    named = f"{workers} worker{'s' * (workers > 1)}"
    ways = {name: partial(run, name) for name in found}
    seconds = run_rounds(
        ways, sitting.pairs, lambda text: sitting.tell(f"saturated, {named}, {_UNIT:,} events, {text}")
    )
    sitting.raw[f"saturated, {named}"] = {name: [asdict(one) for one in runs] for name, runs in found.items()}
    ratio = speed_ratio(seconds[OURS], seconds[PLAIN])
    rates = {name: [one.rate for one in runs] for name, runs in found.items()}
    if workers == 1:
        sitting.figures += [
            at_least("saturated, exactly once ÷ plain loop", ratio.middle, ratio.text(), _RATIO),
            at_least("saturated, exactly once, events/s", median(rates[OURS]), spread(rates[OURS]), _RATE),
        ]
    rows = [
        (name, spread(rates[name]), *(spread([one.cpu_us[process] for one in runs]) for process in runs[0].cpu_us))
        for name, runs in found.items()
    ]
    head = (
        "contestant",
        "events/s",
        *(f"{process}: core seconds a million events" for process in found[OURS][0].cpu_us),
    )
    text = f"{table(head, rows)}\n\nScoretrail's speed ÷ the plain loop's: {ratio.text()}."
    sitting.tables.append((f"Saturated, {named}", text))


def _empty(sitting: StreamSitting, name: str, source: str, workers: int) -> Emptied:
    stage, group, events = sitting.stage, sitting.stage.group(), _events(sitting, workers)
    target = stage.topic()
    with (
        stage.reader(Plan(stage.kafka.address, target, "s", events)) as reader,
        stage.contestant(name, source, target, group=group, workers=workers) as programs,
    ):
        reader.line()
        if workers > 1:
            stage.settle(group, workers)
        begun_ns = time.monotonic_ns()
        pids = {"worker": [one.process.pid for one in programs], "reader": [reader.process.pid]}
        pids |= {"broker": [stage.kafka.process.pid], "store": [stage.valkey.process.pid]}
        before = {process: sum(map(cpu_s, some)) for process, some in pids.items()}
        seen = reader.line()
        del pids["reader"]  # it has ended
        after = {process: sum(map(cpu_s, some)) for process, some in pids.items()}
    return _emptied(seen, begun_ns, {process: after[process] - before[process] for process in pids}, events)


def _emptied(seen: Mapping[str, Any], begun_ns: int, used_s: Mapping[str, float], events: int) -> Emptied:
    """Return the run of what a reader saw.

    Raises:
        RuntimeError: not every event was seen once.
    """
    if seen["seen"] < events or seen["doubled"]:
        msg = f"{seen['seen']:,} of {events:,} events were seen, {seen['doubled']:,} of them again"
        raise RuntimeError(msg)
    watched = [(at, number) for at, number in seen["arrivals"] if at >= begun_ns]
    (first_ns, first), (last_ns, last) = watched[0], watched[-1]
    if last <= first:
        msg = "all events were read before the workers had their partitions: ask for more seconds"
        raise RuntimeError(msg)
    used = {process: round(seconds / (last - first) * 1e6, 1) for process, seconds in used_s.items()}
    return Emptied(last - first, (last_ns - first_ns) / 1e9, used)
