"""The same draws through Evidently's defaults: its preset for drift, on a sample of the reference."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.drift_case import Case
from benchmarks.drift_law import Law, NumberLaw
from benchmarks.drift_share import Share

REFERENCE_ROWS: Final = 10_000
_REFERENCE: Final = 3
_CURRENT: Final = 4


@dataclass(frozen=True)
class Evidently:
    """What it said of draws of so many rows."""

    rows: int
    draws: int
    seconds: float
    """Of one report on all columns, on average."""
    quiet_any: Share
    """Reports without drift in which any column is called drifted."""
    quiet_columns: Mapping[str, int]
    """Column without drift -> draws in which it is called drifted."""
    quiet_dataset: Share
    """Reports without drift that say that the data set drifted."""
    column: Mapping[str, Share]
    """Case -> draws in which the shifted column is called drifted."""
    dataset: Mapping[str, Share]
    """Case -> draws in which at least half of the columns are."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "rows": self.rows,
            "reference_rows": REFERENCE_ROWS,
            "draws": self.draws,
            "seconds_per_report": round(self.seconds, 2),
            "any_column_without_drift": self.quiet_any.to_json(),
            "columns_without_drift": dict(self.quiet_columns),
            "dataset_without_drift": self.quiet_dataset.to_json(),
            "shifted_column": {name: share.to_json() for name, share in self.column.items()},
            "dataset": {name: share.to_json() for name, share in self.dataset.items()},
        }


def evidently(
    laws: Mapping[str, Law], cases: Iterable[Case], rows: int, draws: int, seed: int, tell: Callable[[str], None]
) -> Evidently:
    """Return what Evidently's defaults say.

    What it says of a column depends on no other. So two reports serve a draw: one on all columns without drift, one on
    the shifted column of every case; and the data set of a case is the first, with the case's column in its place.

    Args:
        laws: of the columns without drift.
        cases: the shifts.
        rows: of each draw.
        draws: how many.
        seed: of the draws and of the reference.
        tell: is told how far it is.
    """
    run = _runner()
    cases = tuple(cases)
    shifted = {case.name: case.law for case in cases}
    reference = _frame(laws, np.random.default_rng([seed, _REFERENCE]), REFERENCE_ROWS)
    of_cases = pd.DataFrame({case.name: reference[case.column] for case in cases})
    rng = np.random.default_rng([seed, _CURRENT, rows])
    plain, moved, seconds = [], [], 0.0
    for number in range(draws):
        began = time.perf_counter()
        plain.append(run(_frame(laws, rng, rows), reference, laws))
        seconds += time.perf_counter() - began
        moved.append(run(_frame(shifted, rng, rows), of_cases, shifted))
        tell(f"Evidently, {rows:,} rows: draw {number + 1} of {draws}")
    counted = {name: sum(name in found for found, _ in plain) for name in laws}
    half = len(laws) / 2
    return Evidently(
        rows=rows,
        draws=draws,
        seconds=seconds / draws,
        quiet_any=Share(sum(bool(found) for found, _ in plain), draws),
        quiet_columns={name: n for name, n in counted.items() if n},
        quiet_dataset=Share(sum(says for _, says in plain), draws),
        column={case.name: Share(sum(case.name in found for found, _ in moved), draws) for case in cases},
        dataset={
            case.name: Share(
                sum(
                    len(quiet - {case.column}) + (case.name in found) >= half
                    for (quiet, _), (found, _) in zip(plain, moved, strict=True)
                ),
                draws,
            )
            for case in cases
        },
    )


def _runner() -> Callable[[pd.DataFrame, pd.DataFrame, Mapping[str, Law]], tuple[set[str], bool]]:
    """Return what runs a report and returns the columns that drifted, and whether the data set did."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Slow, and asks the environment; it has no types.
        from evidently import DataDefinition, Dataset, Report  # type: ignore[import-untyped]  # noqa: PLC0415
        from evidently.presets import DataDriftPreset  # type: ignore[import-untyped]  # noqa: PLC0415

    def run(current: pd.DataFrame, reference: pd.DataFrame, laws: Mapping[str, Law]) -> tuple[set[str], bool]:
        numbers = [name for name, law in laws.items() if isinstance(law, NumberLaw)]
        kinds = DataDefinition(
            numerical_columns=numbers, categorical_columns=[one for one in laws if one not in numbers]
        )
        frames = [Dataset.from_pandas(one, kinds) for one in (current, reference)]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            metrics = Report([DataDriftPreset()]).run(*frames).dict()["metrics"]
        every, *columns = metrics
        # All of its tests for a reference above 1,000 rows are distances: drifted is what reaches the threshold.
        drifted = {one["config"]["column"] for one in columns if one["value"] >= one["config"]["threshold"]}
        if every["value"]["count"] != len(drifted):
            raise ValueError(f"Evidently counts {every['value']['count']} drifted columns, of which {drifted} are seen")
        return drifted, every["value"]["share"] >= every["config"]["drift_share"]

    return run


def _frame(laws: Mapping[str, Law], rng: np.random.Generator, rows: int) -> pd.DataFrame:
    columns = {name: law.raw(rng, rows).cast(law.type) for name, law in laws.items()}
    frame: pd.DataFrame = pa.table(columns).to_pandas()
    return frame
