"""Records of scoring runs: the intent before, a message per piece of work, the hold, and ``run.json`` at the end."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from scoretrail import digest
from scoretrail.errors import ObjectExistsError, TrailError, UsageError, nearest
from scoretrail.storage import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scoretrail.digest import Digest, Json
    from scoretrail.storage import Storage

TRAIL_FOLDER: Final = "_scoretrail"
"""Below the table; a leading underscore keeps it out of every Delta reader and of vacuum."""
INTENT: Final = "intent.json"
HELD: Final = "held.json"
RUN: Final = "run.json"
DRIFT: Final = "drift.json"
_WORK: Final = "work"
_RECENT_RUNS: Final = 100
"""How far back an unfinished run is looked for; an older one is taken up by its ``--run-id``."""
HEALTH: Final = "health"
"""The folder of the pages on models' health."""
_NOT_RUNS: Final = frozenset({"cache", "erased", HEALTH, "ledger", "scopes", "vacuum"})
"""Folders beside the runs'."""

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@=-]{0,199}")
"""What a folder may be called everywhere, an orchestrator's run ids included."""

Status = Literal["published", "unchanged", "held", "refused", "unfinished"]


@dataclass(frozen=True)
class OutputFile:
    """One Parquet file that a piece of work wrote."""

    path: str
    """Below the table, partition folders included."""
    size_bytes: int
    sha256: str
    rows: int
    partition: dict[str, str | None]
    stats: str
    """Delta's statistics, as JSON text."""


@dataclass(frozen=True)
class WorkMessage:
    """What one piece of work did; the first attempt's message stands, and only its files are ever published."""

    work_key: str
    scope: str
    source_path: str
    data_sha256: str
    row_groups: tuple[int, int] | None
    """First and one past the last row group; None for the whole file."""
    rows_in: int
    """Rows read, before ``where``."""
    rows_filtered: int
    """Rows that ``where`` left out."""
    rows_scored: int
    rows_rejected: int
    reasons: dict[str, int]
    predictions: tuple[OutputFile, ...]
    rejects: tuple[OutputFile, ...]
    repeats_bits: bool
    """False where the golden rows differ on the machine that scored and ``model.bits: platform`` allowed it."""
    host: str
    attempt: str
    seconds: float
    tally: str | None = None
    """What was counted in the bins of the bundle's baseline; None where it has none. Deflated JSON in base64: see
    :meth:`scoretrail.monitor.tally.Tally.to_text`."""
    engine: str = "onnxruntime"
    """What scored: ``trees``, the tree kernel, or ``onnxruntime``. Both give the same bits."""

    def to_bytes(self) -> bytes:
        """Return the message as canonical JSON."""
        # Not by asdict: its deep copies take longer than all the rest, and a run may have 100,000 messages.
        files = {name: [vars(file) for file in getattr(self, name)] for name in ("predictions", "rejects")}
        return digest.canonical_json({**vars(self), **files})

    @classmethod
    def from_bytes(cls, data: bytes) -> WorkMessage:
        """Return the message that :meth:`to_bytes` wrote."""
        values = json.loads(data)
        for name in ("predictions", "rejects"):
            values[name] = tuple(OutputFile(**file) for file in values[name])
        values["row_groups"] = tuple(values["row_groups"]) if values["row_groups"] else None
        return cls(**values)


@dataclass(frozen=True)
class Intent:
    """What a run set out to do, written before it scores; what a resumed run must do the same way."""

    run_id: str
    plan_sha256: str
    scored_at: str
    command: str
    bundle_uri: str
    bundle_location: str
    bundle_sha256: str
    role: str
    input_root: str
    where: str | None


@dataclass(frozen=True, kw_only=True)
class ScoringRun:
    """``run.json``: everything one needs to find, check and repeat a run."""

    run_id: str
    kind: Literal["batch"] = "batch"
    status: Status
    command: str
    started_at: str
    finished_at: str
    plan_sha256: str
    settings: dict[str, Any]
    """Resolved settings, secrets masked."""
    settings_sha256: str
    model: dict[str, Any]
    """uri, location, name, version, role, bundle_sha256, model_sha256, score_digest."""
    input: dict[str, Any]
    """root, dataset, where, slices, files, bytes, data_sha256 (over the sorted list of path and digest)."""
    output: dict[str, Any]
    """table, table_version, rejects, rejects_version, files_added, files_removed, messages_sha256."""
    rows: dict[str, int]
    """in, filtered, scored, rejected, skipped, removed."""
    reasons: dict[str, int]
    files: dict[str, int]
    """scored, skipped, removed."""
    scopes: dict[str, dict[str, Any]]
    """Scope -> its slice, and the version of its guard that the plan was made on."""
    code: dict[str, Any]
    """scoretrail, commit, lock_sha256, distribution_sha256."""
    environment: dict[str, Any]
    """python, onnxruntime, pyarrow, machine, cpu, host, spark, repeats_bits, engines."""
    seconds: dict[str, float]
    """By stage, and in all."""
    rows_per_s: float
    attempts: int = 1
    """Processes that worked on the run."""
    drift: dict[str, Any] | None = None
    """level, kinds, columns (of that level), confirmed (columns), rows, rows_left_out, baseline_sha256, tally_sha256.
    All of it is in ``drift.json``. None where nothing was scored, or the bundle has no baseline."""
    work: tuple[str, ...] = field(default=())
    """Work keys the run published, sorted; their messages lie beside this record."""

    def to_bytes(self) -> bytes:
        """Return the record as canonical JSON."""
        return digest.canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> ScoringRun:
        """Return the record that :meth:`to_bytes` wrote."""
        values = json.loads(data)
        return cls(**{**values, "work": tuple(values["work"])})


@dataclass(frozen=True)
class Hold:
    """A run that is complete and waits; what publishing it will do was settled when it was planned."""

    run: ScoringRun
    live: tuple[str, ...]
    """Keys of planned work that the table held already."""
    removes: tuple[str, ...]
    """Paths of the live files that will go."""

    def to_bytes(self) -> bytes:
        """Return the hold as canonical JSON."""
        return digest.canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Hold:
        """Return the hold that :meth:`to_bytes` wrote."""
        values = json.loads(data)
        run = ScoringRun(**{**values["run"], "work": tuple(values["run"]["work"])})
        return cls(run, tuple(values["live"]), tuple(values["removes"]))


def check_run_id(text: str) -> str:
    """Return a run's id as it was given.

    >>> check_run_id("scheduled__2013-12-02T00:00:00+00:00")
    'scheduled__2013-12-02T00:00:00+00:00'

    Raises:
        UsageError: no folder of a run may be called so.
    """
    if not _RUN_ID.fullmatch(text) or text in _NOT_RUNS:
        raise UsageError(
            f"{text!r} cannot be a run's id",
            expected="letters, digits and . _ : + @ = -, up to 200, beginning with a letter or digit",
            got="a name that the trail uses itself" if text in _NOT_RUNS else None,
        )
    return text


class RunStore:
    """The run records of one table."""

    def __init__(self, storage: Storage) -> None:
        """Open the records below a table.

        Args:
            storage: the place ``<table>/_scoretrail``.
        """
        self._storage = storage

    @property
    def uri(self) -> str:
        """Where the records lie."""
        return self._storage.uri

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, oldest first (ids begin with their time)."""
        return [name for name in self._storage.folders() if name not in _NOT_RUNS]

    def begin(self, intent: Intent) -> Intent:
        """Write an intent, or return the one that is there already under its run id."""
        try:
            self._storage.put_new(f"{intent.run_id}/{INTENT}", digest.canonical_json(asdict(intent)))
        except ObjectExistsError:
            return self.intent(intent.run_id)
        return intent

    def intent(self, run_id: str) -> Intent:
        """Return a run's intent.

        Raises:
            TrailError: there is no such run (the nearest is named), or its intent cannot be read.
        """
        data = self._storage.get_or_none(f"{run_id}/{INTENT}")
        if data is None:
            near = nearest(run_id, self.run_ids())
            raise TrailError(
                f"there is no run {run_id!r}",
                where=self.uri,
                fix=f"did you mean {near}?" if near else "`scoretrail runs list` shows the runs of a table",
            )
        with self._legible(f"{run_id}/{INTENT}"):
            return Intent(**json.loads(data))

    def has(self, run_id: str) -> bool:
        """Tell whether a run of this id began."""
        return self._storage.get_or_none(f"{run_id}/{INTENT}") is not None

    def status(self, run_id: str) -> Status:
        """Return how far a run came."""
        run = self.find(run_id)
        if run is not None:
            return run.status
        return "held" if self._storage.get_or_none(f"{run_id}/{HELD}") is not None else "unfinished"

    def find(self, run_id: str) -> ScoringRun | None:
        """Return a finished run's record, or None.

        Raises:
            TrailError: it cannot be read.
        """
        data = self._storage.get_or_none(f"{run_id}/{RUN}")
        with self._legible(f"{run_id}/{RUN}"):
            return ScoringRun.from_bytes(data) if data is not None else None

    def held(self, run_id: str) -> Hold | None:
        """Return a held run, or None; one that was released since is found by :meth:`find` as well.

        Raises:
            TrailError: it cannot be read.
        """
        data = self._storage.get_or_none(f"{run_id}/{HELD}")
        with self._legible(f"{run_id}/{HELD}"):
            return Hold.from_bytes(data) if data is not None else None

    def unfinished(self, plan_sha256: str) -> Intent | None:
        """Return the newest intent of this plan that is neither finished nor held, or None."""
        for run_id in reversed(self.run_ids()[-_RECENT_RUNS:]):
            try:
                intent = self.intent(run_id)
                if intent.plan_sha256 == plan_sha256 and self.status(run_id) == "unfinished":
                    return intent
            except TrailError:
                continue  # a damaged record of one run keeps no other from its work
        return None

    def finish(self, run: ScoringRun) -> None:
        """Write ``run.json``; one that is there already stands."""
        with contextlib.suppress(ObjectExistsError):
            self._storage.put_new(f"{run.run_id}/{RUN}", run.to_bytes())

    def hold(self, hold: Hold) -> None:
        """Write ``held.json``; one that is there already stands."""
        with contextlib.suppress(ObjectExistsError):
            self._storage.put_new(f"{hold.run.run_id}/{HELD}", hold.to_bytes())

    def judge(self, run_id: str, verdict: Json) -> None:
        """Write ``drift.json``, the verdict on what a run scored; a resumed run writes it again."""
        self._storage.put(f"{run_id}/{DRIFT}", digest.canonical_json(verdict))

    def verdict(self, run_id: str) -> dict[str, Any] | None:
        """Return the verdict on what a run scored, or None where there is none.

        Raises:
            TrailError: it cannot be read.
        """
        data = self._storage.get_or_none(f"{run_id}/{DRIFT}")
        with self._legible(f"{run_id}/{DRIFT}"):
            found: dict[str, Any] | None = json.loads(data) if data is not None else None
            return found

    def note_attempt(self, run_id: str, attempt: str) -> int:
        """Record that a process works on a run; return how many did so far."""
        self._storage.put(f"{run_id}/attempts/{attempt}.json", b"{}")
        return sum(1 for _ in self._storage.list(f"{run_id}/attempts"))

    def claim(self, run_id: str, message: WorkMessage) -> WorkMessage:
        """Write the message of a piece of work, or return the one of the attempt that was faster."""
        key = f"{run_id}/{_WORK}/{message.work_key}.json"
        try:
            self._storage.put_new(key, message.to_bytes())
        except ObjectExistsError:
            return WorkMessage.from_bytes(self._storage.get(key))
        return message

    def message(self, run_id: str, work_key: str) -> WorkMessage | None:
        """Return the message of a piece of work, or None.

        Raises:
            TrailError: it cannot be read.
        """
        key = f"{run_id}/{_WORK}/{work_key}.json"
        data = self._storage.get_or_none(key)
        with self._legible(key):
            return WorkMessage.from_bytes(data) if data is not None else None

    def messages(self, run_id: str, work_keys: Iterable[str]) -> list[WorkMessage]:
        """Return the messages of these pieces of work that are there, in the order of the keys."""
        there = self.work_keys(run_id)
        found = [self.message(run_id, key) for key in work_keys if key in there]
        return [message for message in found if message is not None]

    def published(self, work_keys: Iterable[str]) -> list[WorkMessage]:
        """Return the messages of work that any finished run published, in the order of the keys.

        A key whose run's record is gone is left out. The newest run that published a key is its own.
        """
        wanted = list(work_keys)
        missing, run_of = set(wanted), dict[str, str]()
        for run_id in reversed(self.run_ids()):
            if not missing:
                break
            run = self.find(run_id)
            if run is not None and run.status == "published":
                here = missing.intersection(run.work)
                run_of |= dict.fromkeys(here, run_id)
                missing -= here
        found = [self.message(run_of[key], key) for key in wanted if key in run_of]
        return [message for message in found if message is not None]

    def work_keys(self, run_id: str) -> set[str]:
        """Return the keys of the work that has a message."""
        prefix = f"{run_id}/{_WORK}/"
        return {
            found.key.removeprefix(prefix).removesuffix(".json") for found in self._storage.list(f"{run_id}/{_WORK}")
        }

    @contextlib.contextmanager
    def _legible(self, key: str) -> Iterator[None]:
        """Turn what a damaged record raises into an error of ours.

        Raises:
            TrailError: the record cannot be read.
        """
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrailError(
                "a record of the trail cannot be read",
                where=join(self.uri, key),
                got=f"{type(error).__name__}: {error}"[:300],
                fix="restore it from a backup",
            ) from error


def messages_digest(messages: Sequence[WorkMessage]) -> Digest:
    """Return the digest over messages, whatever their order."""
    ordered = sorted((message.work_key, digest.of_bytes(message.to_bytes())) for message in messages)
    return digest.of_json([list(pair) for pair in ordered])
