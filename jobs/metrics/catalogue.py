"""Every metric that is told through a textfile, in one table: the policy of their names."""

from __future__ import annotations

from typing import Final

from jobs.metrics.metric import Metric

PREFIX: Final = "scoretrail_"

LEVELS: Final = {"not_enough_data": -1, "ok": 0, "warn": 1, "drift": 2}
"""A level as a number, so that one comparison makes a rule; each metric of a level says these in its help."""
_LEVEL: Final = "0 ok, 1 warn, 2 drift, -1 not enough data"

TABLE: Final = (
    Metric("model_info", "gauge", "Always 1; what the last run scored with.", ("version", "bundle_sha256")),
    Metric("batch_last_run_timestamp_seconds", "gauge", "When the last run finished, whatever came of it."),
    Metric("batch_last_success_timestamp_seconds", "gauge", "When a run was last published, or found nothing to do."),
    Metric("batch_status", "gauge", "What came of the last run: 1 for that status, 0 for the others.", ("status",)),
    Metric("batch_duration_seconds", "gauge", "How long the last run took."),
    Metric("batch_rows", "gauge", "Rows of the last run that had some, by what became of them.", ("outcome",)),
    Metric("batch_rejected_ratio", "gauge", "Share of the rows of that run that were rejected."),
    Metric("batch_rejected_rows", "gauge", "Rows of that run that were rejected, by reason.", ("reason",)),
    Metric("batch_rows_per_second", "gauge", "Rate at which that run scored, without the start of Spark."),
    Metric("drift_judged_timestamp_seconds", "gauge", "When scored rows were last held against the baseline."),
    Metric("drift_rows", "gauge", "Rows that the last verdict is about."),
    Metric("drift_level", "gauge", f"The last verdict, by kind of drift and of all: {_LEVEL}.", ("kind",)),
    Metric("drift_columns", "gauge", "Columns at a level in the last verdict.", ("level",)),
    Metric("drift_confirmed_columns", "gauge", "Of the drifting columns, those that the verdict before names, too."),
    Metric(
        "drift_column_reach_ratio",
        "gauge",
        "Largest effect of a column divided by the effect that is called drift.",
        ("column", "group"),
    ),
    Metric("drift_column_missing_ratio", "gauge", "Share of a column's rows that are null.", ("column", "group")),
    Metric("labels_last_join_timestamp_seconds", "gauge", "When labels were last joined to predictions."),
    Metric("labels_rows", "gauge", "Rows of the last join, by what became of them.", ("outcome",)),
    Metric("labels_coverage_ratio", "gauge", "Share of the predictions of the last join that have a label."),
    Metric(
        "labels_delay_seconds", "gauge", "From a prediction's event time to its label: p50, p95, max.", ("statistic",)
    ),
    Metric("performance_level", "gauge", f"Verdict on the last rolling window: {_LEVEL}."),
    Metric("performance_rows", "gauge", "Labelled rows of the last rolling window."),
    Metric("performance", "gauge", "A figure of the last rolling window.", ("figure",)),
    Metric("performance_low", "gauge", "Lower end of the figure's interval.", ("figure",)),
    Metric("performance_high", "gauge", "Upper end of the figure's interval.", ("figure",)),
    Metric("performance_promised", "gauge", "The figure that the model's manifest promises.", ("figure",)),
    Metric("performance_promised_low", "gauge", "Lower end of the promised interval.", ("figure",)),
    Metric("performance_promised_high", "gauge", "Upper end of the promised interval.", ("figure",)),
    Metric(
        "performance_figure_level",
        "gauge",
        "Whether a promised figure fell behind: 0 no, 1 its interval misses the promised value, 2 the whole promised "
        "interval.",
        ("figure",),
    ),
    Metric("verify_last_timestamp_seconds", "gauge", "When outcomes of a stream were last held against its events."),
    Metric("verify_events", "gauge", "Events that were looked at then."),
    Metric("verify_faults", "gauge", "Events without an outcome, with two, or with one that is not of their bytes."),
)
"""Every metric, under :data:`PREFIX`, each with the labels of a :class:`~jobs.metrics.metric.Subject` as well."""
