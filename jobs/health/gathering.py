"""Gathers the facts: every source at once, each on its own; what cannot be read is said, and stops nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobs.health import batch, deployment, labels, prometheus
from jobs.health.fact import Facts, Source
from jobs.health.series import series
from jobs.health.wording import counted
from scoretrail.clock import utc_text
from scoretrail.errors import RetryLaterError, ScoretrailError, TrailError
from scoretrail.storage import Storage, join
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobs.health.series import Judged
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry

DEADLINE_S: Final = 20.0
"""For all sources together: storage that is away is tried again for minutes."""
REGISTRY, RUNS, STREAM, LABELS, METRICS = "registry", "scored table", "archive", "labelled table", "Prometheus"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Which model, and where its predictions lie."""

    model: str
    table: str | None = None
    archive: str | None = None
    labelled: str | None = None
    prometheus: str | None = None


@dataclass(frozen=True)
class _Part:
    """What one source gave: how it was to read, and fields of the facts."""

    source: Source
    facts: Mapping[str, Any] = field(default_factory=dict)
    judged: tuple[Judged, ...] = ()


def gather(subject: Subject, registry: Registry, settings: Settings, clock: Clock) -> Facts:
    """Return what is known of a model; whatever cannot be read is a source that failed.

    Args:
        subject: the model and its places; one that is None is not read.
        registry: has its versions and aliases.
        settings: how storage is reached.
        clock: says when this is.
    """
    options = settings.storage.plain()
    readers: dict[str, tuple[str | None, str, Callable[[str], _Part]]] = {
        REGISTRY: (settings.registry.uri, "registry.uri", lambda uri: _registry(uri, registry, subject.model, clock)),
        RUNS: (subject.table, "batch.table", lambda uri: _runs(uri, options, subject.model)),
        STREAM: (subject.archive, "archive.table", lambda uri: _stream(uri, options, subject.model)),
        LABELS: (subject.labelled, "labels.table", lambda uri: _labels(uri, options, subject.model)),
        METRICS: (subject.prometheus, "health.prometheus", lambda uri: _metrics(uri, subject.model)),
    }
    pool = ThreadPoolExecutor(len(readers))
    asked = {name: pool.submit(_attempt, name, *reader) for name, reader in readers.items()}
    wait(asked.values(), timeout=DEADLINE_S)
    pool.shutdown(wait=False, cancel_futures=True)
    parts = [
        one.result() if one.done() else _failed(name, readers[name][0], f"no answer within {DEADLINE_S:g} s")
        for name, one in asked.items()
    ]
    return Facts(
        model=subject.model,
        at=utc_text(clock.now()),
        sources=tuple(part.source for part in parts),
        series=series(one for part in parts for one in part.judged),
        **{name: value for part in parts for name, value in part.facts.items()},
    )


def _attempt(name: str, place: str | None, setting: str, read: Callable[[str], _Part]) -> _Part:
    if place is None:
        return _Part(Source(name=name, place=None, state="absent", detail=f"{setting} is not set"))
    try:
        return read(place)
    except ScoretrailError as error:
        return _failed(name, place, f"{error.what}: {error.got}" if error.got else error.what)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one source: the others are still worth a page)
        return _failed(name, place, f"{type(error).__name__}: {error}"[:200])


def _failed(name: str, place: str | None, detail: str) -> _Part:
    return _Part(Source(name=name, place=place, state="failed", detail=detail))


def _read(name: str, place: str, what: str, damaged: list[str], *, is_empty: bool) -> Source:
    if damaged:
        return Source(
            name=name,
            place=place,
            state="failed",
            detail=f"{counted(len(damaged), 'record')} cannot be read: {damaged[-1]}",
        )
    return Source(name=name, place=place, state="empty" if is_empty else "read", detail=what)


def _registry(uri: str, registry: Registry, model: str, clock: Clock) -> _Part:
    records = registry.history(model)
    standings = deployment.standings(registry, model, records)
    damaged = [f"the manifest of {one.version}" for one in standings if one.owner is None]
    source = _read(REGISTRY, uri, counted(len(records), "alias record"), damaged, is_empty=not records)
    return _Part(source, {"standings": standings, "deployments": deployment.deployments(records, clock.now())})


def _runs(uri: str, options: Mapping[str, str], model: str) -> _Part:
    found = batch.read_runs(RunStore(Storage(join(uri, TRAIL_FOLDER), options)))
    runs = batch.of_model(found, model)
    damaged = [one.run_id for one in runs if one.status == "damaged"]
    what = f"the newest {counted(len(found), 'run')}, {len(runs)} of this model"
    source = _read(RUNS, uri, what, damaged, is_empty=not runs)
    return _Part(source, {"runs": runs}, tuple(batch.judged(found, model)))


def _stream(uri: str, options: Mapping[str, str], model: str) -> _Part:
    from jobs.health import stream  # noqa: PLC0415  (half a second of imports, for those who have an archive)

    archive, windows, verdicts = stream.open_archive(uri, options)
    records, damaged = [], []
    for key in verdicts.keys(stream.VERDICTS):
        try:
            records.append(verdicts.read(key))
        except TrailError as error:
            damaged.append(f"{error.where}")
    found = stream.volumes(windows, model)
    judged = stream.judged(records, model)
    what = f"{counted(len({one.day for one in found}), 'day')} of predictions, {counted(len(judged), 'verdict')}"
    source = _read(STREAM, uri, what, damaged, is_empty=not archive.exists)
    return _Part(source, {"volumes": found, "archived_at": stream.archived_at(archive)}, tuple(judged))


def _labels(uri: str, options: Mapping[str, str], model: str) -> _Part:
    joins, damaged = labels.read_joins(Storage(join(uri, TRAIL_FOLDER), options), model)
    source = _read(LABELS, uri, counted(len(joins), "join"), damaged, is_empty=not joins)
    return _Part(source, {"labels": joins[-1] if joins else None, "coverage": labels.coverage(joins)})


def _metrics(url: str, model: str) -> _Part:
    server = prometheus.Prometheus(url)
    alerts = prometheus.alerts(server, model)
    try:
        flows = prometheus.flows(server, model)
    except RetryLaterError as error:
        return _Part(_failed(METRICS, url, f"lag and latency: {error.got}").source, {"alerts": alerts})
    what = f"{counted(len(alerts), 'open alert')}, workers in {counted(len(flows), 'role')}"
    return _Part(_read(METRICS, url, what, [], is_empty=False), {"alerts": alerts, "flows": flows})
