"""The shared middle of batch and stream: validate, derive, score, guard; a record batch in, scores and rejects out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.errors import SchemaMismatchError
from scoretrail.feature.schema import Fault, FaultCode
from scoretrail.feature.view import faulty_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scoretrail.feature.stored import StoredUse
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.manifest import Guards, Manifest

CAPPED: Final = "capped"
"""What the ``guard`` column says of a score that was set to a cap."""


@dataclass(frozen=True)
class Scored:
    """The rows of a batch that have a score, in input order; all columns are of equal length."""

    rows: NDArray[np.int64]
    """Positions in the batch."""
    entity_key: pa.Array
    event_time: pa.Array
    score: pa.Array
    """float64: P(second class), the highest class score, or the regressor's value; after caps."""
    class_scores: tuple[pa.Array, ...]
    """float64, one per class of a multi-class classifier, in the manifest's order; empty otherwise."""
    label: pa.Array
    """The model's class as a dictionary of strings; null for a regressor."""
    decision: pa.Array
    """The label, or the abstention rule's value, as a dictionary of strings; null where neither is."""
    guard: pa.Array
    """Which guard changed the score, as a dictionary of strings; null where none did."""
    features: pa.RecordBatch
    """The model's inputs, after derivation, in the view's order: what :func:`score_features` takes."""
    stored: Mapping[str, StoredUse] = field(default_factory=dict)
    """What became of each of the view's stored sets; empty where recorded vectors were scored."""


@dataclass(frozen=True)
class Rejected:
    """The rows of a batch that have no score, in input order, and why."""

    rows: NDArray[np.int64]
    """Positions in the batch."""
    entity_key: pa.Array
    event_time: pa.Array
    reason: pa.Array
    """The first rule that refused the row, as a :class:`FaultCode`."""
    field: pa.Array
    expected: pa.Array
    reasons: pa.Array
    """Every rule that refused it, as ``code:field`` separated by commas."""


def score_batch(bundle: Bundle, batch: pa.RecordBatch) -> tuple[Scored, Rejected]:
    """Return the scored and the rejected rows of a batch: each row is in exactly one of them.

    Args:
        bundle: the loaded bundle.
        batch: rows whose schema the bundle's view accepted (:meth:`FeatureView.match`); further columns are ignored.

    Raises:
        SchemaMismatchError: a column cannot be cast without loss.
        FeatureViewError: a derived feature failed.
        ScoreError: the model failed.

    Guarantees: a row's score, label and decision have the same bits in any batch (tests/property/test_bits.py).
    """
    record, faults = bundle.view.prepare(batch)
    rows = np.arange(record.num_rows, dtype=np.int64)
    everything = record
    record, rows = _without(record, rows, faults)
    features, derived_faults = bundle.view.derive(record)
    faults += _moved(derived_faults, rows)
    if derived_faults:
        features, _ = _without(features, rows, derived_faults)
        record, rows = _without(record, rows, derived_faults)
    given = _Given(record, rows, features, bundle.view.stored_use(record))
    scored, score_faults = _score(bundle, given)
    return scored, _rejected(everything, [*faults, *score_faults])


def score_features(
    bundle: Bundle, features: pa.RecordBatch, entity_key: pa.Array, event_time: pa.Array
) -> tuple[Scored, Rejected]:
    """Return what recorded vectors score: the same bits as when their records were scored.

    Args:
        bundle: the loaded bundle.
        features: the model's inputs after derivation, as :attr:`Scored.features` holds them.
        entity_key: of each row; only passed on.
        event_time: of each row; only passed on.

    Raises:
        SchemaMismatchError: the vectors are not the inputs of the bundle's view.
        ScoreError: the model failed.
    """
    view = bundle.view
    expected = [(one.name, one.type) for one in view.input_fields]
    got = [(one.name, one.type) for one in features.schema]
    if got != expected:
        raise SchemaMismatchError(
            "the recorded vectors are not the inputs of this model's view",
            where=view.name,
            expected=_schema_text(expected),
            got=_schema_text(got),
            fix="score them with a model of the view that recorded them",
        )
    record = pa.RecordBatch.from_arrays([entity_key, event_time], [view.entity_key, view.event_time])
    given = _Given(record, np.arange(record.num_rows, dtype=np.int64), features, {})
    scored, faults = _score(bundle, given)
    return scored, _rejected(record, faults)


@dataclass(frozen=True)
class _Given:
    """Rows without a fault so far, and what the model is given of them."""

    record: pa.RecordBatch
    """Has at least entity key and event time."""
    rows: NDArray[np.int64]
    """Positions in the original batch."""
    features: pa.RecordBatch
    stored: Mapping[str, StoredUse]

    def take(self, kept: NDArray[np.int64]) -> _Given:
        """Return some of the rows."""
        places = pa.array(kept)
        stored = {name: use.take(kept) for name, use in self.stored.items()}
        return _Given(self.record.take(places), self.rows[kept], self.features.take(places), stored)


def _score(bundle: Bundle, given: _Given) -> tuple[Scored, list[Fault]]:
    """Return the rows with a score that may be published, and why the others have none."""
    scores = bundle.raw_scores(given.features).astype(np.float64, copy=False)
    headline = _headline(scores, bundle.manifest)
    faults = _score_faults(scores, headline, bundle.manifest.guards)
    moved = _moved(faults, given.rows)
    if faults:
        good = np.setdiff1d(np.arange(len(given.rows)), faulty_rows(faults))
        scores, headline, given = scores[good], headline[good], given.take(good)
    return _scored(bundle, given, scores, headline), moved


def _without(
    record: pa.RecordBatch, rows: NDArray[np.int64], faults: Sequence[Fault]
) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """Return the record and its row numbers without the faulty rows; untouched where there are none."""
    if not faults:
        return record, rows
    good = np.setdiff1d(np.arange(record.num_rows), faulty_rows(faults))
    return record.take(pa.array(good)), rows[good]


def _moved(faults: Sequence[Fault], rows: NDArray[np.int64]) -> list[Fault]:
    """Return the faults with positions in the original batch."""
    return [Fault(fault.code, fault.field, fault.expected, rows[fault.rows]) for fault in faults]


def _headline(scores: NDArray[np.float64], manifest: Manifest) -> NDArray[np.float64]:
    """Return the one score per row that people read."""
    if manifest.output.task == "binary":
        return scores[:, 1]
    return scores.max(axis=1, initial=-np.inf) if manifest.output.task == "multiclass" else scores[:, 0]


def _score_faults(scores: NDArray[np.float64], headline: NDArray[np.float64], guards: Guards) -> list[Fault]:
    low = -np.inf if guards.minimum is None else guards.minimum
    high = np.inf if guards.maximum is None else guards.maximum
    # Two passes tell whether anything is wrong (NaN anywhere makes both ends NaN); only then is it worth asking what.
    ends = (
        float(np.minimum.reduce(scores, axis=None, initial=np.inf)),
        float(np.maximum.reduce(scores, axis=None, initial=-np.inf)),
    )
    if np.isfinite(ends).all() and low <= ends[0] and ends[1] <= high:
        return []
    faults = []
    wrong = ~np.isfinite(scores).all(axis=1)
    if wrong.any():
        faults.append(Fault(FaultCode.SCORE_NOT_FINITE, "score", "a finite score", np.flatnonzero(wrong)))
    outside = ((headline < low) | (headline > high)) & ~wrong
    if outside.any():
        faults.append(Fault(FaultCode.SCORE_BOUNDS, "score", f"{low:g} to {high:g}", np.flatnonzero(outside)))
    return faults


def _scored(bundle: Bundle, given: _Given, scores: NDArray[np.float64], headline: NDArray[np.float64]) -> Scored:
    manifest = bundle.manifest
    guards, classes = manifest.guards, manifest.output.classes
    capped = np.clip(headline, guards.cap_minimum, guards.cap_maximum) if _caps(guards) else headline
    label = _labels(scores, capped, manifest)
    label_words = _words(label, list(classes))
    decision_words, band = label_words, manifest.abstention
    if band is not None:
        inside = (capped >= band.low) & (capped < band.high)
        decision_words = _words(np.where(inside, len(classes), label), [*classes, band.decision])
    several = classes if manifest.output.task == "multiclass" else ()
    return Scored(
        rows=given.rows,
        entity_key=given.record.column(bundle.view.entity_key),
        event_time=given.record.column(bundle.view.event_time),
        score=_floats(capped),
        class_scores=tuple(_floats(scores[:, i]) for i in range(len(several))),
        label=label_words,
        decision=decision_words,
        guard=_words(np.where(capped != headline, 0, -1), [CAPPED]),
        features=given.features,
        stored=given.stored,
    )


def _caps(guards: Guards) -> bool:
    return guards.cap_minimum is not None or guards.cap_maximum is not None


def _labels(scores: NDArray[np.float64], headline: NDArray[np.float64], manifest: Manifest) -> NDArray[np.int64]:
    """Return the position of each row's class, -1 for a regressor."""
    if manifest.output.task == "binary":
        threshold = manifest.threshold if manifest.threshold is not None else np.inf  # the manifest always has one
        return np.asarray(headline >= threshold, np.int64)
    if manifest.output.task == "multiclass" and len(scores):
        return np.asarray(scores.argmax(axis=1), np.int64)
    return np.full(len(scores), -1, np.int64)


def _floats(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(np.ascontiguousarray(values))


def _words(codes: NDArray[Any], words: list[str]) -> pa.Array:
    """Return a dictionary of strings, null where the code is -1: a repeated word costs a byte a row."""
    missing = codes < 0
    indices = pa.array(codes.astype(np.int8 if len(words) < 128 else np.int32), mask=missing if missing.any() else None)  # noqa: PLR2004
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))


def _rejected(record: pa.RecordBatch, faults: Sequence[Fault]) -> Rejected:
    rows = faulty_rows(faults)
    first: dict[int, Fault] = {}
    every: dict[int, list[str]] = {}
    for fault in faults:
        for row in fault.rows.tolist():
            first.setdefault(row, fault)
            every.setdefault(row, []).append(f"{fault.code}:{fault.field}")
    ordered = rows.tolist()
    kept = record.take(pa.array(rows)) if len(rows) else record.slice(0, 0)
    return Rejected(
        rows=rows,
        entity_key=kept.column(0),
        event_time=kept.column(1),
        reason=pa.array([str(first[row].code) for row in ordered], pa.string()),
        field=pa.array([first[row].field for row in ordered], pa.string()),
        expected=pa.array([first[row].expected for row in ordered], pa.string()),
        reasons=pa.array([",".join(every[row]) for row in ordered], pa.string()),
    )


def _schema_text(fields: Sequence[tuple[str, pa.DataType]]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in fields)


def count_by_reason(rejected: Rejected) -> dict[str, int]:
    """Return how many rows each first reason refused."""
    counts = pc.value_counts(rejected.reason)
    return {entry["values"].as_py(): entry["counts"].as_py() for entry in counts}
