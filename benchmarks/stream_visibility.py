"""Visibility: from an event's sending until a reader of committed records sees its prediction, at fixed rates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from statistics import median
from typing import Any, Final

from benchmarks.figure import at_most, table
from benchmarks.pairing import Ratio, run_rounds
from benchmarks.stream_reader import Plan
from benchmarks.stream_sitting import StreamSitting, spread
from benchmarks.stream_stage import OURS, PARTITIONS, PLAIN, Program

_PROBES: Final = 4 * PARTITIONS
_SKIPPED_S: Final = 1.0
"""Of each rate: the first events find cold caches, on both sides."""
_JUDGED: Final = 1_000
"""The rate that the figures are asked for."""
_LIMITS_MS: Final = {"p50": 90, "p99": 200}
_RATIO: Final = 1.5

Found = dict[str, list[dict[str, Any]]]


def visibility(sitting: StreamSitting) -> None:
    """Measure each rate with one worker of each contestant in turn."""
    found: dict[int, Found] = {rate: {OURS: [], PLAIN: []} for rate in sitting.rates}

    def run(name: str) -> float:
        measured = _watch(sitting, name)
        for rate, seen in measured.items():
            found[rate][name].append(seen)
        return float(measured[sitting.rates[-1]]["p50_ms"]) / 1000

    ways = {name: partial(run, name) for name in (OURS, PLAIN)}
    told = f"visibility, p50 at {sitting.rates[-1]:,} events/s"
    run_rounds(ways, sitting.pairs, lambda text: sitting.tell(f"{told}, {text}"))
    for rate, runs in found.items():
        sitting.raw[f"visibility, {rate} events/s"] = runs
        if rate == _JUDGED:
            _judge(sitting, runs)
    rows = [
        (
            f"{rate:,}",
            name,
            *(spread([one[f"{point}_ms"] for one in runs[name]]) for point in ("p50", "p95", "p99", "max")),
        )
        for rate, runs in found.items()
        for name in runs
    ]
    head = ("events/s", "contestant", "p50 ms", "p95 ms", "p99 ms", "longest ms")
    sitting.tables.append(("Visibility, one worker", table(head, rows)))


def _judge(sitting: StreamSitting, runs: Found) -> None:
    for point, limit_ms in _LIMITS_MS.items():
        ours, plain = ([one[f"{point}_ms"] for one in runs[name]] for name in (OURS, PLAIN))
        ratio = Ratio(tuple(our / their for our, their in zip(ours, plain, strict=True)))
        named = f"visibility at {_JUDGED:,} events/s, {point}"
        sitting.figures += [
            at_most(named, median(ours), f"{spread(ours)} ms", limit_ms, " ms"),
            at_most(f"{named} ÷ plain loop", ratio.middle, ratio.text(), _RATIO),
        ]


def _watch(sitting: StreamSitting, name: str) -> Mapping[int, dict[str, Any]]:
    """Return what a reader saw at each rate, of one worker that runs through all of them."""
    stage = sitting.stage
    source, target = stage.topic(), stage.topic()
    with stage.contestant(name, source, target, group=stage.group()) as programs:
        with stage.reader(Plan(stage.kafka.address, target, "probe", _PROBES)) as reader:
            stage.feed(source, "probe", _PROBES)
            _complete(reader, _PROBES)
        found = {}
        for rate in sitting.rates:
            events = round(rate * (sitting.seconds + _SKIPPED_S))
            plan = Plan(stage.kafka.address, target, f"r{rate}", events, round(rate * _SKIPPED_S), from_end=True)
            with stage.reader(plan) as reader:
                used_s = programs[0].cpu_s()
                fed = stage.feed(source, plan.phase, events, rate)
                seen = _complete(reader, events)
                used_s = programs[0].cpu_s() - used_s
            del seen["arrivals"]
            found[rate] = {**seen, "fed": fed, "worker_cpu_us": round(used_s / events * 1e6, 1)}
    return found


def _complete(reader: Program, events: int) -> dict[str, Any]:
    """Return what a reader says at its end.

    Raises:
        RuntimeError: not every event was seen once.
    """
    seen = reader.line()
    if "first" in seen:
        seen = reader.line()
    if seen["seen"] < events or seen["doubled"]:
        msg = f"{seen['seen']:,} of {events:,} events were seen, {seen['doubled']:,} of them again"
        raise RuntimeError(msg)
    return seen
