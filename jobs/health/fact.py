"""What is known of one model's health: one tree of facts, as the sources said them; nothing is judged or drawn here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["not_enough_data", "ok", "warn", "drift"]
MoveKind = Literal["deployment", "rollback", "other"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place that was read, or was to be."""

    name: str
    place: str | None
    """Its URI; None where none is configured."""
    state: Literal["read", "empty", "absent", "failed"]
    """*absent*: nobody configured it; *empty*: nothing is there; *failed*: it, or a part of it, cannot be read."""
    detail: str = ""
    """What there is, which setting names it, or why it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an alias stands for."""

    alias: str
    version: str
    number: int
    """Of the alias record."""
    since: str
    reason: str
    bundle_sha256: str
    model_sha256: str | None = None
    """This and the owner are None where the manifest cannot be read."""
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """One move of an alias."""

    number: int
    alias: str
    at: str
    version: str
    before: str | None
    """The version it stood for; None for the first move."""
    kind: MoveKind
    """*other*: an alias that is not the champion, or a move to the version that it stood for already."""
    recovered_s: float | None
    """Of a rollback: seconds since the move that it undid."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Deployments:
    """What the numbered alias records say of changes of the champion."""

    moves: tuple[Move, ...] = ()
    """Oldest first."""
    total: int = 0
    """Deployments, rollbacks not among them."""
    recent: int = 0
    """Of them, in the last :attr:`recent_days`."""
    recent_days: int = 0
    rollbacks: int = 0
    recover_s: float | None = None
    """Median of the rollbacks' :attr:`Move.recovered_s`."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One batch run."""

    run_id: str
    status: Literal["published", "unchanged", "held", "refused", "unfinished", "damaged"]
    """*damaged*: a record of it cannot be read."""
    role: str = ""
    version: str = ""
    started_at: str = ""
    finished_at: str | None = None
    slices: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    """in, filtered, scored, rejected, skipped, removed; empty while it is unfinished."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    rows_per_s: float | None = None
    seconds: float | None = None
    level: Level | None = None
    """The verdict on drift; None where there is none."""
    damaged: str | None = None
    """The record that cannot be read."""
    is_settled: bool = True
    """False while it waits for somebody: held, refused or unfinished, and no later run did the same scopes."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One column over the verdicts of a series, by the measure that says most in the newest one."""

    group: str
    name: str
    level: Level
    measure: str
    value: float
    warn: float
    drift: float
    usual: float | None
    """The most that a day of the reference had; None where it has no say."""
    detail: str
    is_confirmed: bool
    values: tuple[float | None, ...]
    """The measure in each verdict of the series, oldest first; None where it has none."""
    levels: tuple[Level | None, ...]
    """What was said of the measure there."""


@dataclass(frozen=True, kw_only=True)
class DriftSeries:
    """Verdicts on what was scored in one role, all held against one baseline."""

    source: Literal["batch", "stream"]
    role: str
    version: str
    run_id: str | None
    """This and what follows are of the newest verdict; None where it is on a day of a stream."""
    level: Level
    kinds: Mapping[str, Level]
    rows: int
    rows_left_out: int
    points: tuple[str, ...]
    """What the verdicts are on, slices, runs or days, oldest first."""
    levels: tuple[Level, ...]
    """The verdicts."""
    trends: tuple[Trend, ...]
    """Of each column that was judged, the worst first."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Predictions of a stream on one day of event times, as they are archived."""

    day: str
    role: str
    version: str
    rows: int
    counted: int
    """Of them, in the verdict on drift."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How the workers of one role do, as Prometheus knows it; None where it has no such series."""

    role: str
    workers: float | None = None
    events_per_s: float | None = None
    dead_letter_ratio: float | None = None
    lag_records: float | None = None
    lag_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One open alert."""

    name: str
    state: Literal["firing", "pending"]
    severity: str
    role: str | None
    since: str | None
    summary: str
    runbook_url: str | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of performance with its interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """How good scores were, once outcomes were known."""

    kind: Literal["rolling", "history", "segment"]
    role: str
    version: str
    start: str
    end: str
    segment: str | None
    rows: int
    positives: int
    level: Level
    behind: Mapping[str, Level]
    figures: Mapping[str, Figure]
    promised: Mapping[str, Figure]
    calibration: tuple[tuple[float, float, int], ...]
    """Mean score, share of the second class and rows, of each tenth of the probability that has rows."""


@dataclass(frozen=True, kw_only=True)
class LabelJoin:
    """What one ``scoretrail labels join`` found."""

    join_id: str
    finished_at: str
    level: Level
    rows: Mapping[str, int]
    delay_s: Mapping[str, float | None]
    assessments: tuple[Assessment, ...]
    """Those of the model."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that is known."""

    model: str
    at: str
    """When the sources were read."""
    sources: tuple[Source, ...]
    standings: tuple[Standing, ...] = ()
    """The champion first, then the challenger, then others by name."""
    deployments: Deployments = Deployments()
    runs: tuple[Run, ...] = ()
    """Of the scored table, oldest first."""
    series: tuple[DriftSeries, ...] = ()
    """Batch before stream, the champion first."""
    volumes: tuple[Volume, ...] = ()
    archived_at: str | None = None
    """The archive's last commit."""
    flows: tuple[Flow, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """The firing ones first."""
    labels: LabelJoin | None = None
    """The newest join."""
    coverage: tuple[tuple[str, float], ...] = ()
    """Join and its share of labelled predictions, oldest first."""

    def standing(self, alias: str) -> Standing | None:
        """Return what an alias stands for."""
        return next((one for one in self.standings if one.alias == alias), None)

    def source(self, name: str) -> Source | None:
        """Return a source by its name."""
        return next((one for one in self.sources if one.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)
