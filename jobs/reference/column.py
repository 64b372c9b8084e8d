"""The page of the output tables: every column of scores, rejects and labelled predictions, from what writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from jobs.archive.window_table import COLUMNS
from jobs.labels.columns import labelled_columns
from jobs.reference.page import page, table
from scoretrail.feature.schema import TIMESTAMP, FaultCode
from scoretrail.model.manifest import Manifest, Output
from scoretrail.trail.prediction import SCHEMA_VERSION, Column, prediction_columns, reject_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scoretrail.feature.view import FeatureView

DELTA_TYPES: Final = {
    pa.string(): "string",
    pa.float64(): "double",
    pa.float32(): "float",
    pa.int64(): "long",
    pa.int32(): "integer",
    pa.int16(): "short",
    pa.int8(): "byte",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    TIMESTAMP: "timestamp",
}
"""What Delta calls the types that a column of ours may have."""

REASONS: Final = {
    FaultCode.NULL: "a value is missing, and the field has neither a default nor leave to be null",
    FaultCode.INFINITE: "a float is infinite (NaN counts as null)",
    FaultCode.RANGE: "a number lies outside the field's minimum and maximum, and the field does not clip",
    FaultCode.CATEGORY: "a text is none of the field's categories, and the field has no `other`",
    FaultCode.STORED_MISSING: "a stored set has no value for the entity, and no fallback",
    FaultCode.STORED_FUTURE: "a stored set's value became available after the event time, and there is no fallback",
    FaultCode.STORED_STALE: "a stored set's value is older than is allowed, and there is no fallback",
    FaultCode.SCORE_NOT_FINITE: "the model's score is NaN or infinite",
    FaultCode.SCORE_BOUNDS: "the model's score lies outside the bundle's guards",
}
"""What each code means, for the pages of tables and of topics."""
_INTRODUCTION: Final = f"""
One run writes one table of scores, given by `--output`, and one of rejects beside it, by default under the same
name with `_rejects`. Each row of the input is in exactly one of them, unless `--where` left it out. Both are Delta
tables of writer protocol 2: no unsigned types, times in UTC to the microsecond, hashes as lower-case hexadecimal
text, a comment on every column. Columns are only ever added at the end. The version of this schema is
{SCHEMA_VERSION}; it is part of every work key.

Shown for a binary classifier whose entity key is `ENTITY_KEY` and whose event time is `EVENT_TIME`: the view names
them. *Never null* is what the [data contract](../../contracts/flight-delay.odcs.yaml) promises; Delta's own `NOT
NULL` is not used, for it would raise the table's writer protocol.
"""
_WINDOWS: Final = """What was counted of a stream's archive, beside it, under its name with `_windows`
([Watch for drift](../how-to/watch-for-drift.md#a-stream)).

"""

_LABELLED: Final = """## Labelled predictions

`scoretrail labels join` writes one row for each prediction that has a label, parted by `event_date`, with one column
for each `--segment`. Figures are of the rows whose `status` is `labelled` ([how](../how-to/join-outcomes.md)).

"""


def tables_page(view: FeatureView) -> str:
    """Return the page.

    Args:
        view: any view; only the names and types of its entity key and event time show.
    """
    manifest = manifest_of(view, "binary", ("0", "1"))
    key, time = view.entity_key, view.event_time
    key_type = pa.type_for_alias(manifest.view["entity_key"]["type"])
    partition = (("PARTITION", pa.string()),)
    return page(
        "Output tables",
        "scoretrail/trail/prediction.py",
        _INTRODUCTION.replace("ENTITY_KEY", key).replace("EVENT_TIME", time),
        "## Scores\n\n" + _columns(prediction_columns(manifest, partition)),
        "A multi-class classifier has one more column for each class after `score`: `score_` and the class in lower "
        "case with underscores, type `double`. `score` is then the highest of them. For a regressor `label` is null.",
        "## Rejects\n\n" + _columns(reject_columns(manifest, partition)),
        "Values of features are never among them: they stay where the input is.",
        "## Windows\n\n" + _WINDOWS + _columns(COLUMNS),
        _LABELLED + _columns(labelled_columns(key, key_type, time, ("SEGMENT",))),
        "## Reasons\n\n" + table(("reason", "meaning"), [(f"`{code}`", REASONS[code]) for code in FaultCode]),
    )


def manifest_of(view: FeatureView, task: str, classes: Sequence[str]) -> Manifest:
    """Return as much of a manifest as the columns of its tables follow from.

    Args:
        view: names entity key and event time.
        task: binary, multiclass or regression.
        classes: the class labels, in order.
    """
    output = Output.model_validate({"task": task, "name": "scores", "form": "matrix", "classes": tuple(classes)})
    return Manifest.model_construct(view=view.contract(), output=output)


def _columns(columns: Sequence[Column]) -> str:
    return table(
        ("column", "type", "null", "meaning"),
        [
            (f"`{one.name}`", DELTA_TYPES[one.type], "may be" if one.nullable else "never", one.comment)
            for one in columns
        ],
    )
