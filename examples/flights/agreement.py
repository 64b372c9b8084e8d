"""Whether batch and stream scored the same: the digest of each event's vector, and the bits of its score."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail import digest
from scoretrail.errors import DifferenceError
from scoretrail.feature.packed import Layout
from scoretrail.scoring import score_batch

if TYPE_CHECKING:
    from scoretrail.model.bundle import Bundle


@dataclass(frozen=True)
class Outcome:
    """What is compared of one scored event."""

    features_sha256: str
    """Of its vector, packed as predictions record it."""
    score_bits: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a comparison found; every event is in ``same`` or named in one of the others."""

    same: int
    other_vector: tuple[str, ...]
    other_score: tuple[str, ...]
    """Of one vector."""
    batch_only: tuple[str, ...]
    stream_only: tuple[str, ...]

    @property
    def different(self) -> tuple[str, ...]:
        """Every event that is not the same, sorted."""
        return tuple(sorted((*self.other_vector, *self.other_score, *self.batch_only, *self.stream_only)))

    def refuse_difference(self) -> None:
        """Return if there is no difference.

        Raises:
            DifferenceError: there is one.
        """
        if self.different:
            raise DifferenceError(
                "batch and stream did not score the same",
                where=", ".join(self.different[:3]),
                expected=f"{self.same + len(self.different):,} events with equal vectors and score bits",
                got=f"{len(self.other_vector):,} with another vector, {len(self.other_score):,} with another score, "
                f"{len(self.batch_only):,} scored by batch only, {len(self.stream_only):,} by the stream only",
            )


def compare(batch: Mapping[str, Outcome], stream: Mapping[str, Outcome]) -> Agreement:
    """Return where two ways of scoring agree, by entity key."""
    both = batch.keys() & stream.keys()
    vectors = {key for key in both if batch[key].features_sha256 != stream[key].features_sha256}
    scores = {key for key in both - vectors if batch[key].score_bits != stream[key].score_bits}
    return Agreement(
        same=len(both) - len(vectors) - len(scores),
        other_vector=tuple(sorted(vectors)),
        other_score=tuple(sorted(scores)),
        batch_only=tuple(sorted(batch.keys() - stream.keys())),
        stream_only=tuple(sorted(stream.keys() - batch.keys())),
    )


def of_predictions(documents: Iterable[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Return what the stream scored, by entity key.

    Raises:
        DifferenceError: an event has two predictions.
    """
    found: dict[str, Outcome] = {}
    for one in documents:
        key = one["entity_key"]
        if key in found:
            raise DifferenceError("an event was scored twice", where=key)
        found[key] = Outcome(one["trail"]["features_sha256"], score_bits(one["score"]))
    return found


def of_table(bundle: Bundle, built: Sequence[Path], scored: pa.Table) -> dict[str, Outcome]:
    """Return what batch scored, by entity key.

    Args:
        bundle: the one that scored.
        built: the files that it scored, from which the vectors are made again.
        scored: entity key and ``score`` as they were published.
    """
    key = bundle.view.entity_key
    scores = dict(zip(scored[key].cast(pa.string()).to_pylist(), scored["score"].to_pylist(), strict=True))
    layout = Layout(bundle.view.input_fields)
    found: dict[str, Outcome] = {}
    for path in built:
        table = pq.read_table(path, columns=list(bundle.view.record_columns), partitioning=None)
        for batch in table.combine_chunks().to_batches():
            made, _ = score_batch(bundle, batch)
            vectors = map(digest.of_bytes, layout.pack(made.features))
            pairs = zip(made.entity_key.to_pylist(), vectors, strict=True)
            found |= {one: Outcome(vector, score_bits(scores[one])) for one, vector in pairs if one in scores}
    return found


def score_bits(score: float) -> str:
    """Return the bits of a score, so that -0 and 0 differ.

    >>> score_bits(0.0), score_bits(-0.0)
    ('0000000000000000', '8000000000000000')
    """
    return struct.pack(">d", score).hex()
