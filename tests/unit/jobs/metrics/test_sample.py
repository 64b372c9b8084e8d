"""Records as samples: what is told, and what is not said again because nothing new is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobs.metrics import sample
from jobs.metrics.catalogue import TABLE
from tests.factory.run_record import join_of_labels, scoring_run, verdict
from tests.factory.watched import judged, readings

if TYPE_CHECKING:
    from jobs.metrics.metric import Sample
    from scoretrail.trail.run import Status

AT = datetime(2013, 12, 5, 6, tzinfo=UTC)
LABELS = {metric.name: set(metric.labels) for metric in TABLE}


def values(samples: list[Sample]) -> dict[str, float]:
    """Return the samples as Prometheus writes them; each must be in the table, with its labels, once."""
    assert [one.name for one in samples if set(one.labels) != LABELS[one.name]] == []
    found = {
        f"{one.name}{{{','.join(f'{name}={value}' for name, value in sorted(one.labels.items()))}}}".removesuffix(
            "{}"
        ): float(one.value)
        for one in samples
    }
    assert len(found) == len(samples)
    return found


def test_a_published_run_tells_everything() -> None:
    found = values(sample.of_run(scoring_run(finished_at=AT)))
    assert found == {
        f"model_info{{bundle_sha256={'b' * 64},version=1.0.0}}": 1,
        "batch_last_run_timestamp_seconds": AT.timestamp(),
        "batch_last_success_timestamp_seconds": AT.timestamp(),
        "batch_duration_seconds": 2.5,
        "batch_status{status=published}": 1,
        "batch_status{status=unchanged}": 0,
        "batch_status{status=held}": 0,
        "batch_status{status=refused}": 0,
        "batch_rows{outcome=in}": 100,
        "batch_rows{outcome=filtered}": 0,
        "batch_rows{outcome=scored}": 96,
        "batch_rows{outcome=rejected}": 4,
        "batch_rows{outcome=skipped}": 7,
        "batch_rows{outcome=removed}": 0,
        "batch_rejected_ratio": 0.04,
        "batch_rejected_rows{reason=out_of_range}": 3,
        "batch_rejected_rows{reason=null}": 1,
        "batch_rows_per_second": 50,
    }


@pytest.mark.parametrize("status", ["held", "refused"])
def test_a_run_that_was_not_published_is_no_success(status: Status) -> None:
    found = values(sample.of_run(scoring_run(status)))
    assert "batch_last_success_timestamp_seconds" not in found
    assert (found[f"batch_status{{status={status}}}"], found["batch_status{status=published}"]) == (1, 0)
    assert found["batch_rejected_ratio"] == 0.04


def test_a_run_without_rows_says_nothing_of_rows() -> None:
    rows = {"in": 0, "filtered": 0, "scored": 0, "rejected": 0, "skipped": 100, "removed": 0}
    found = values(sample.of_run(scoring_run("unchanged", rows=rows, rows_per_s=0.0)))
    assert "batch_last_success_timestamp_seconds" in found
    assert [name for name in found if "rows" in name or "_ratio" in name] == []


def test_a_verdict_tells_its_levels_and_how_far_columns_moved() -> None:
    found = values(sample.of_verdict(verdict(), "2013-12-05T06:00:00.000000Z"))
    assert found == {
        "drift_judged_timestamp_seconds": AT.timestamp(),
        "drift_rows": 2000,
        "drift_level{kind=all}": 2,
        "drift_level{kind=data}": 2,
        "drift_level{kind=prediction}": 1,
        "drift_level{kind=upstream}": -1,
        "drift_columns{level=warn}": 1,
        "drift_columns{level=drift}": 1,
        "drift_confirmed_columns": 1,
        "drift_column_reach_ratio{column=distance,group=request}": 2.0,
        "drift_column_reach_ratio{column=carrier,group=request}": 0.6,
        "drift_column_missing_ratio{column=distance,group=request}": 0.0,
        "drift_column_missing_ratio{column=carrier,group=request}": 0.125,
        "drift_column_missing_ratio{column=score,group=request}": 0.0,
    }


def test_a_verdict_that_was_really_given_is_told() -> None:
    given = judged(readings(2_000, 7)).to_json()
    assert isinstance(given, dict)
    found = values(sample.of_verdict(given, "2013-12-05T06:00:00.000000Z"))
    assert (found["drift_level{kind=all}"], found["drift_rows"]) == (0, 2_000)
    assert 0 < found["drift_column_reach_ratio{column=x,group=request}"] < 1
    assert found["drift_column_missing_ratio{column=word,group=request}"] == 0


def test_a_join_tells_the_newest_rolling_window_of_a_model_in_a_role() -> None:
    found = values(sample.of_labels(join_of_labels(), "flight-delay", "champion"))
    assert found["labels_rows{outcome=conflicting}"] == 1
    assert found["labels_coverage_ratio"] == 0.9
    assert found["labels_delay_seconds{statistic=p95}"] == 7200
    assert (found["performance_level"], found["performance_rows"]) == (2, 900)
    assert found["performance{figure=roc_auc}"] == 0.6
    assert found["performance_low{figure=cost}"] == pytest.approx(0.48)
    assert found["performance_promised{figure=f1}"] == 0.4
    assert "performance_promised_low{figure=f1}" not in found
    levels = {name: value for name, value in found.items() if name.startswith("performance_figure_level")}
    assert levels == {"performance_figure_level{figure=roc_auc}": 2, "performance_figure_level{figure=brier}": 1}
    assert values(sample.of_labels(join_of_labels(), "flight-delay", "challenger"))["performance_level"] == 0


def test_a_join_without_predictions_has_no_coverage() -> None:
    join = join_of_labels(rows={"predictions": 0, "labelled": 0}, performance=[], delay_s={})
    found = values(sample.of_labels(join, "flight-delay", "champion"))
    assert found.keys() == {"labels_last_join_timestamp_seconds", "labels_rows{outcome=predictions}"} | {
        "labels_rows{outcome=labelled}"
    }


def test_the_models_of_a_join_are_told_once_each() -> None:
    assert sample.subjects_of(join_of_labels()) == [("flight-delay", "challenger"), ("flight-delay", "champion")]


def test_a_verification_tells_its_faults() -> None:
    assert values(sample.of_verification(10, 0, 5.0)) == {
        "verify_last_timestamp_seconds": 5,
        "verify_events": 10,
        "verify_faults": 0,
    }
