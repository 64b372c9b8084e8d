"""Figures of what was handled, counted up from the start of the process; metrics read them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobs.stream.handling.lookup import Found
    from jobs.stream.message.refusal import Refusal
    from scoretrail.feature.stored import StoredUse


@dataclass
class Tally:
    """What was handled so far, by transactions that failed later as well."""

    micro_batches: int = 0
    predictions: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason -> dead letters."""
    stored: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Stored set and outcome -> predictions."""
    oldest_s: dict[str, int] = field(default_factory=dict)
    """Stored set -> the highest age of a value in the last micro-batch that had one."""
    keys_read: int = 0
    """Keys that the online store was asked for."""
    damaged_values: int = 0
    """Values of the online store that are not what somebody wrote; each counts as missing."""
    store_unavailable: int = 0
    """Micro-batches for which the store did not answer."""
    stage_s: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds: decode, lookup, score, encode."""

    def count_lookup(self, found: Found) -> None:
        """Count what the store was asked for."""
        self.keys_read += found.keys_read
        self.damaged_values += found.damaged
        self.store_unavailable += found.unavailable

    def count_stored(self, stored: Mapping[str, StoredUse]) -> None:
        """Count what became of the stored sets of scored rows."""
        for name, use in stored.items():
            for entry in pc.value_counts(use.outcome.cast(pa.string())).to_pylist():
                self.stored[name, entry["values"]] += entry["counts"]
            oldest = pc.max(use.age_s).as_py()
            if oldest is not None:
                self.oldest_s[name] = oldest

    def count_refused(self, refused: Iterable[Refusal]) -> None:
        """Count dead letters."""
        self.refused.update(str(refusal.reason) for refusal in refused)

    def count_stage(self, name: str, seconds: float) -> None:
        """Count how long a stage took."""
        self.stage_s[name] = self.stage_s.get(name, 0.0) + seconds
