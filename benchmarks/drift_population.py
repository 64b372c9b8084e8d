"""The thirty columns of the study, and the baseline that the pipeline's own code makes of 200,000 rows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy import stats  # type: ignore[import-untyped]

from benchmarks.drift_law import Law, NumberLaw, WordLaw, zipf
from scoretrail import digest
from scoretrail.monitor.baseline import Baseline, Column
from scoretrail.monitor.histogram import Counts
from scoretrail.monitor.learning import SAMPLE_ROWS, Draft
from scoretrail.monitor.tally import Tally, count
from scoretrail.monitor.watch import Watched

REFERENCE_ROWS: Final = 200_000
_DAY: Final = 0
"""All of the reference is of one day: of so few nothing is usual, and only thresholds and chance decide."""

LAWS: Final[Mapping[str, Law]] = {
    "normal": NumberLaw(stats.norm(0.0, 1.0)),
    "normal_far": NumberLaw(stats.norm(1000.0, 25.0)),
    "normal_small": NumberLaw(stats.norm(-0.001, 0.0002)),
    "normal_missing": NumberLaw(stats.norm(50.0, 10.0), missing=0.05),
    "heavy_tails": NumberLaw(stats.t(3)),
    "uniform": NumberLaw(stats.uniform(0.0, 1.0)),
    "log_normal_half": NumberLaw(stats.lognorm(0.5)),
    "log_normal": NumberLaw(stats.lognorm(1.0)),
    "log_normal_wide": NumberLaw(stats.lognorm(1.5, scale=100.0)),
    "exponential": NumberLaw(stats.expon(scale=30.0)),
    "gamma_missing": NumberLaw(stats.gamma(2.0, scale=5.0), missing=0.2),
    "count": NumberLaw(stats.poisson(2.0)),
    "count_rare": NumberLaw(stats.poisson(0.3)),
    "count_large": NumberLaw(stats.poisson(400.0)),
    "weekday": NumberLaw(stats.randint(1, 8)),
    "hour": NumberLaw(stats.randint(0, 24)),
    "half_zero": NumberLaw(stats.lognorm(1.0), zeros=0.5),
    "mostly_zero": NumberLaw(stats.expon(scale=100.0), zeros=0.9),
    "nearly_zero": NumberLaw(stats.expon(scale=100.0), zeros=0.97),
    "count_zero": NumberLaw(stats.poisson(5.0), zeros=0.7, missing=0.01),
    "words_3": zipf(3),
    "words_3_even": WordLaw((0.34, 0.33, 0.33)),
    "words_20": zipf(20),
    "words_20_missing": WordLaw(zipf(20).shares, missing=0.05),
    "words_100": zipf(100),
    "words_100_too": zipf(100),
    "words_300": zipf(300),
    "words_300_too": zipf(300),
    "score": NumberLaw(stats.beta(2.0, 5.0)),
    "decision": WordLaw((0.8, 0.2)),
}
OUTPUTS: Final = ("score", "decision")


@dataclass(frozen=True)
class Population:
    """The columns, and the baseline that was made of a draw of them."""

    laws: Mapping[str, Law]
    baseline: Baseline
    sha256: str

    def tally(self, columns: Mapping[str, Counts]) -> Tally:
        """Return the counts of some rows as a run has them."""
        return Tally(self.sha256, tuple(columns[one.name] for one in self.baseline.columns))

    def raw(self, rng: np.random.Generator, rows: int) -> dict[str, pa.Array]:
        """Return rows without drift, value by value."""
        return {name: law.raw(rng, rows) for name, law in self.laws.items()}

    def column(self, name: str) -> Column:
        """Return a column of the baseline."""
        return next(one for one in self.baseline.columns if one.name == name)

    def counted(self, name: str, values: pa.Array) -> Counts:
        """Return the counts of values, as the pipeline counts them."""
        return count(_watched(name, self.laws[name]), self.column(name).bins, values)

    def drawn(self, rng: np.random.Generator, rows: int, *, exact: bool) -> dict[str, Counts]:
        """Return the counts of rows without drift.

        Args:
            rng: where they are drawn from.
            rows: how many.
            exact: draw the counts from their own distribution, instead of the values.
        """
        return {name: self.drawn_column(name, law, rng, rows, exact=exact) for name, law in self.laws.items()}

    def drawn_column(self, name: str, law: Law, rng: np.random.Generator, rows: int, *, exact: bool) -> Counts:
        """Return the counts of one column that follows a law, its own or another."""
        if not exact:
            return self.counted(name, law.raw(rng, rows))
        bins = self.column(name).bins
        # The laws of numbers have bins of numbers, and those of words have bins of words.
        return law.counts(rng, rows, bins)  # type: ignore[arg-type]


def make_population(seed: int, rows: int = REFERENCE_ROWS, laws: Mapping[str, Law] = LAWS) -> Population:
    """Return the columns with the baseline of so many rows of them, made as registration makes it."""
    rng = np.random.default_rng(seed)
    columns = tuple(_columns(rng, rows, laws))
    baseline = Baseline(rows=rows, sample_rows=len(_sample(rows)), day_begins=0, days=0, columns=columns)
    return Population(laws, baseline, digest.of_bytes(baseline.to_bytes()))


def _columns(rng: np.random.Generator, rows: int, laws: Mapping[str, Law]) -> Iterator[Column]:
    for name, law in laws.items():
        values = law.raw(rng, rows)
        draft = Draft(_watched(name, law))
        draft.learn(values.take(pa.array(_sample(rows))))
        draft.add([(_DAY, values)])
        yield draft.column()[0]


def _sample(rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rows that choose the edges, evenly spread as at registration."""
    return np.arange(0, rows, max(rows // SAMPLE_ROWS, 1))


def _watched(name: str, law: Law) -> Watched:
    return Watched("output" if name in OUTPUTS else "request", name, law.type)
