"""Scoring in spite of poison: a batch that fails as a whole is halved until the rows that make it fail stand alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.stream.message.refusal import Reason, Refusal
from scoretrail.errors import FeatureViewError, ScoreError
from scoretrail.scoring import score_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from scoretrail.model.bundle import Bundle
    from scoretrail.scoring import Rejected, Scored


@dataclass(frozen=True)
class Part:
    """A run of rows that the scorer took."""

    start: int
    """The first row of the part, in the batch; the parts' own rows count from it."""
    scored: Scored
    rejected: Rejected


@dataclass(frozen=True)
class Parted:
    """What became of a batch: each row is in exactly one part, or is poison."""

    parts: list[Part] = field(default_factory=list)
    poison: dict[int, Refusal] = field(default_factory=dict)


def score_apart(bundle: Bundle, batch: pa.RecordBatch) -> Parted:
    """Return the scores of a batch's rows, and the rows on which derivation or model fail.

    A batch without poison costs one call. One poison row among n costs about 2·log2(n) more. What fails whatever the
    row costs 2·n calls, and refuses them all.

    Args:
        bundle: the loaded bundle.
        batch: rows whose schema the bundle's view accepted.

    Raises:
        SchemaMismatchError: a column cannot be cast without loss.
    """
    found = Parted()
    spans = [(0, batch.num_rows)] if batch.num_rows else []
    while spans:
        start, rows = spans.pop()
        try:
            scored, rejected = score_batch(bundle, batch.slice(start, rows))
        except (ScoreError, FeatureViewError) as error:
            if rows == 1:
                # Not what the library said: it may name a value.
                reason = Reason.SCORE_FAILED if isinstance(error, ScoreError) else Reason.FEATURE_FAILED
                found.poison[start] = Refusal(reason, error.what)
            else:
                half = rows // 2
                spans += [(start + half, rows - half), (start, half)]
        else:
            found.parts.append(Part(start, scored, rejected))
    return found
