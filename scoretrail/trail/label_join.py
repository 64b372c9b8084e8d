"""Records of joins: which outcomes met which predictions, and how good these turned out to be, in ``join.json``."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scoretrail import digest
from scoretrail.errors import ObjectExistsError, TrailError, nearest
from scoretrail.model.manifest import Metric
from scoretrail.storage import Storage, join
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JOIN: Final = "join.json"
LATEST: Final = "latest"

Level = Literal["not_enough_data", "ok", "warn", "drift"]
Kind = Literal["rolling", "history", "segment"]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """How good the scores of one bundle in one role were, over some event dates."""

    model: dict[str, str]
    """name, version, bundle_sha256."""
    role: str
    kind: Kind
    """*rolling*: the window, which has the verdict; *history*: an ISO week; *segment*: a part of the window's rows."""
    window: dict[str, str]
    """start, end: the first and the last event date, both included."""
    segment: dict[str, str] | None
    """column, value; None for all rows."""
    rows: int
    positives: int
    """Rows whose outcome was the second class."""
    days: int
    """Event dates that have rows."""
    drawn: str
    """What was drawn for the intervals: days or rows."""
    level: Level
    """``not_enough_data`` also where nothing was promised, as of every segment."""
    behind: dict[str, str]
    """Figure -> *warn* or *drift*, of those that are worse than promised."""
    calibration: tuple[tuple[float, float, int], ...]
    """Mean score, share of the second class and rows, of each tenth of the probability that has rows."""
    figures: tuple[Metric, ...]
    promised: tuple[Metric, ...]
    """The same figures in the bundle's manifest, where it has them with an interval."""

    def figure(self, name: str) -> Metric | None:
        """Return a figure by its name; None where it is not known."""
        return next((one for one in self.figures if one.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the assessment as JSON values."""
        metrics = {name: [one.model_dump(mode="json") for one in getattr(self, name)] for name in _METRICS}
        return {**vars(self), **metrics, "calibration": [list(one) for one in self.calibration]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Assessment:
        """Return the assessment that :meth:`to_json` wrote."""
        metrics = {name: tuple(Metric.model_validate(one) for one in values[name]) for name in _METRICS}
        return cls(**{**values, **metrics, "calibration": tuple(tuple(one) for one in values["calibration"])})


_METRICS: Final = ("figures", "promised")


@dataclass(frozen=True, kw_only=True)
class LabelJoin:
    """``join.json``: one ``scoretrail labels join``."""

    join_id: str
    kind: Literal["labels"] = "labels"
    status: Literal["published", "unchanged"]
    command: str
    started_at: str
    finished_at: str
    predictions: tuple[dict[str, Any], ...]
    """table, version: the tables of predictions, as they were read."""
    outcomes: dict[str, Any]
    """root, slices, files, data_sha256 (over the sorted list of path and digest)."""
    output: dict[str, Any]
    """table, version: the labelled table as the join left it."""
    rows: dict[str, int]
    """Of predictions on the event dates that were looked at: predictions = labelled + unlabelled + conflicting + early.
    Of labels there: repeated, corrected (predictions whose outcome replaced another), unmatched (outcomes that belong
    to no prediction)."""
    delay_s: dict[str, float | None]
    """p50, p95, max of the seconds from the event time to the label, of the window's rows; null where it has none."""
    level: Level
    """The worst verdict on the rolling windows of champions; of all roles where no champion has one."""
    performance: tuple[Assessment, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            **vars(self),
            "predictions": list(self.predictions),
            "performance": [one.to_json() for one in self.performance],
        }

    def to_bytes(self) -> bytes:
        """Return the record as canonical JSON."""
        return digest.canonical_json(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> LabelJoin:
        """Return the record that :meth:`to_bytes` wrote."""
        values = json.loads(data)
        performance = tuple(Assessment.from_json(one) for one in values["performance"])
        return cls(**{**values, "predictions": tuple(values["predictions"]), "performance": performance})


class JoinStore:
    """The records of the joins of one labelled table."""

    def __init__(self, table: str, options: Mapping[str, str] | None = None) -> None:
        """Open the records below a labelled table.

        Args:
            table: its URI.
            options: storage settings.
        """
        self._storage = Storage(join(table, TRAIL_FOLDER), options)

    def join_ids(self) -> Sequence[str]:
        """Return the ids of all joins, oldest first (ids begin with their time)."""
        # By their records, for other folders lie beside them.
        suffix = f"/{JOIN}"
        return sorted(one.key.removesuffix(suffix) for one in self._storage.list() if one.key.endswith(suffix))

    def write(self, record: LabelJoin) -> None:
        """Write ``join.json``; one that is there already stands."""
        with contextlib.suppress(ObjectExistsError):
            self._storage.put_new(f"{record.join_id}/{JOIN}", record.to_bytes())

    def latest(self) -> LabelJoin | None:
        """Return the newest record, or None.

        Raises:
            TrailError: it cannot be read.
        """
        ids = self.join_ids()
        return self.find(ids[-1]) if ids else None

    def find(self, join_id: str) -> LabelJoin:
        """Return a join's record.

        Args:
            join_id: its id, or ``latest``.

        Raises:
            TrailError: there is no such join (the nearest is named), or its record cannot be read.
        """
        ids = self.join_ids()
        chosen = ids[-1] if join_id == LATEST and ids else join_id
        key = f"{chosen}/{JOIN}"
        data = self._storage.get_or_none(key)
        if data is None:
            near = nearest(chosen, ids)
            raise TrailError(
                f"there is no join {chosen!r}" if ids else "no labels were joined here",
                where=self._storage.uri,
                fix=f"did you mean {near}?" if near else "`scoretrail labels join` writes a record",
            )
        try:
            return LabelJoin.from_bytes(data)
        except (ValueError, TypeError, KeyError) as error:
            raise TrailError(
                "a record of the trail cannot be read",
                where=join(self._storage.uri, key),
                got=f"{type(error).__name__}: {error}"[:300],
                fix="restore it from a backup",
            ) from error
