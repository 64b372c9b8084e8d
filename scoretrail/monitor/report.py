"""Evidently's page on a sample of what was scored beside a sample of the reference; the only module that imports it.

For people to look at: the verdict (:mod:`scoretrail.monitor.drift`) comes from all rows, and from our own counts.
"""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scoretrail.errors import DataError, DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

NUMBER_METHOD: Final = "wasserstein"
WORD_METHOD: Final = "jensenshannon"
"""Fixed: Evidently's own choice changes with the number of rows, and two pages could not be compared."""


@dataclass(frozen=True)
class Page:
    """A rendered report."""

    html: str
    """Self-contained; about 4 MB, for it brings its own scripts."""
    json: str
    left_out: dict[str, str]
    """Columns that are not in it, and why."""


def render(
    reference: pa.Table,
    current: pa.Table,
    numbers: Sequence[str],
    words: Sequence[str],
    about: Mapping[str, str],
) -> Page:
    """Return Evidently's report of data drift and of each column's summary.

    Args:
        reference: sample rows of the reference.
        current: sample rows of what was scored, with the same columns.
        numbers: names of the columns that are numbers.
        words: names of those that are categories.
        about: what the report says of itself, such as the run's id.

    Raises:
        DependencyError: Evidently is not installed.
        DataError: there is no column that both samples have values of, or Evidently fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports; whoever reads our output can change nothing about them
        return _render(_load(), reference, current, (numbers, words), about)


def _render(
    evidently: Any,  # noqa: ANN401  (a module without types)
    reference: pa.Table,
    current: pa.Table,
    columns: tuple[Sequence[str], Sequence[str]],
    about: Mapping[str, str],
) -> Page:
    numbers, words = columns
    left_out = _left_out(reference, current, [*numbers, *words])
    numbers, words = ([name for name in names if name not in left_out] for names in (numbers, words))
    if not (numbers or words):
        raise DataError("there is no column to report on", got="; ".join(f"{k}: {v}" for k, v in left_out.items()))
    definition = evidently.DataDefinition(numerical_columns=list(numbers), categorical_columns=list(words))
    samples = [
        evidently.Dataset.from_pandas(_frame(table, numbers, words), data_definition=definition)
        for table in (current, reference)
    ]
    presets = [
        evidently.presets.DataDriftPreset(num_method=NUMBER_METHOD, cat_method=WORD_METHOD),
        evidently.presets.DataSummaryPreset(),
    ]
    report = evidently.Report(presets, metadata=dict(about), include_tests=True)
    try:
        snapshot = report.run(*samples)  # current first
        return Page(snapshot.get_html_str(as_iframe=False), snapshot.json(), left_out)
    except BaseException as error:
        # Two of its own errors are no Exception (evidently.core.report, evidently.legacy.base_metric).
        if not (isinstance(error, Exception) or type(error).__module__.startswith("evidently.")):
            raise
        raise DataError("Evidently could not make its report", got=f"{type(error).__name__}: {error}"[:300]) from error


def _load() -> Any:  # noqa: ANN401  (a module without types)
    """Return Evidently, told first to send nothing to anybody.

    Raises:
        DependencyError: it is not installed.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        evidently = importlib.import_module("evidently")  # takes seconds, and only pages need it
        importlib.import_module("evidently.presets")
    except ImportError as error:
        raise DependencyError(
            "pages need the extra `drift`", got=str(error), fix="pip install 'scoretrail[drift]', or --no-page"
        ) from error
    return evidently


def _left_out(reference: pa.Table, current: pa.Table, names: Sequence[str]) -> dict[str, str]:
    """Return the columns that Evidently fails on, and why."""
    found = {}
    for name in names:
        for table, what in ((reference, "the reference"), (current, "what was scored")):
            if table.column(name).null_count == table.num_rows:
                found[name] = f"{what} has no value"
    return found


def _frame(table: pa.Table, numbers: Sequence[str], words: Sequence[str]) -> Any:  # noqa: ANN401  (a DataFrame)
    frame = table.select([*numbers, *words]).to_pandas()
    # One type for both samples, or a column of small integers without nulls counts as categories in one of them.
    return frame.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(words, "object")})
