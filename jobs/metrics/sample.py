"""Records as samples: what a run, a verdict on drift, a join of labels and a verification tell; pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from jobs.metrics.catalogue import LEVELS
from jobs.metrics.metric import Sample
from scoretrail.clock import from_utc_text
from scoretrail.trail.run import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scoretrail.trail.run import ScoringRun

_SUCCESS: Final = frozenset({"published", "unchanged"})
_STATUSES: Final = tuple(one for one in get_args(Status) if one != "unfinished")
_RAISED: Final = ("warn", "drift")
_DELAYS: Final = ("p50", "p95", "max")
_ENDS: Final = {"value": "", "low": "_low", "high": "_high"}


def of_run(run: ScoringRun) -> list[Sample]:
    """Return what a finished or held run tells.

    A run that was not published says nothing of the last success, and one without rows nothing of rows: what was said
    of them before stays.
    """
    finished_s = _seconds(run.finished_at)
    found = [
        Sample("model_info", 1, {"version": run.model["version"], "bundle_sha256": run.model["bundle_sha256"]}),
        Sample("batch_last_run_timestamp_seconds", finished_s),
        Sample("batch_duration_seconds", run.seconds["total"]),
        *(Sample("batch_status", run.status == one, {"status": one}) for one in _STATUSES),
    ]
    if run.status in _SUCCESS:
        found.append(Sample("batch_last_success_timestamp_seconds", finished_s))
    rows = run.rows
    if not rows["in"]:
        return found
    found += [Sample("batch_rows", count, {"outcome": outcome}) for outcome, count in rows.items()]
    found.append(Sample("batch_rejected_ratio", rows["rejected"] / rows["in"]))
    found += [Sample("batch_rejected_rows", count, {"reason": reason}) for reason, count in run.reasons.items()]
    if run.rows_per_s:  # 0 where nothing was scored in this process: its work was done before it was killed
        found.append(Sample("batch_rows_per_second", run.rows_per_s))
    return found


def of_verdict(verdict: Mapping[str, Any], judged_at: str) -> list[Sample]:
    """Return what a verdict on drift tells, of a run or of a window.

    Args:
        verdict: as :meth:`scoretrail.monitor.drift.Verdict.to_json` states it.
        judged_at: RFC 3339, UTC.
    """
    columns = verdict["columns"]
    kinds = {"all": verdict["level"], **verdict["kinds"]}
    return [
        Sample("drift_judged_timestamp_seconds", _seconds(judged_at)),
        Sample("drift_rows", verdict["rows"]),
        *(Sample("drift_level", LEVELS[level], {"kind": kind}) for kind, level in kinds.items()),
        *(
            Sample("drift_columns", sum(one["level"] == level for one in columns), {"level": level})
            for level in _RAISED
        ),
        Sample("drift_confirmed_columns", len(verdict["confirmed"])),
        *(sample for one in columns for sample in _column(one)),
    ]


def of_labels(join: Mapping[str, Any], model: str, role: str) -> list[Sample]:
    """Return what a join of labels tells of one model in one role.

    Rows, delay and coverage are the join's, for all models that it is about; performance is that of the newest rolling
    window.

    Args:
        join: ``join.json``.
        model: the model's name.
        role: what it was run as.
    """
    rows = join["rows"]
    found = [
        Sample("labels_last_join_timestamp_seconds", _seconds(join["finished_at"])),
        *(Sample("labels_rows", count, {"outcome": outcome}) for outcome, count in rows.items()),
        *(
            Sample("labels_delay_seconds", join["delay_s"][name], {"statistic": name})
            for name in _DELAYS
            if join["delay_s"].get(name) is not None
        ),
    ]
    if rows["predictions"]:
        found.append(Sample("labels_coverage_ratio", rows["labelled"] / rows["predictions"]))
    windows = [
        one
        for one in join["performance"]
        if one["kind"] == "rolling" and (one["model"]["name"], one["role"]) == (model, role)
    ]
    if windows:
        found += _performance(max(windows, key=lambda one: str(one["window"]["end"])))
    return found


def of_verification(events: int, faults: int, verified_s: float) -> list[Sample]:
    """Return what a verification of a stream tells.

    Args:
        events: that were looked at.
        faults: what is not as it should be.
        verified_s: when, seconds since 1970.
    """
    return [
        Sample("verify_last_timestamp_seconds", verified_s),
        Sample("verify_events", events),
        Sample("verify_faults", faults),
    ]


def subjects_of(join: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the models of a join of labels, each with its role, sorted."""
    return sorted({(str(one["model"]["name"]), str(one["role"])) for one in join["performance"]})


def _column(column: Mapping[str, Any]) -> Iterator[Sample]:
    labels = {"column": column["name"], "group": column["group"]}
    reach = max((one["value"] / one["drift"] for one in column["checks"]), default=None)
    if reach is not None:
        yield Sample("drift_column_reach_ratio", reach, labels)
    yield Sample("drift_column_missing_ratio", column["indications"]["missing_share"], labels)


def _performance(window: Mapping[str, Any]) -> Iterator[Sample]:
    yield Sample("performance_level", LEVELS[window["level"]])
    yield Sample("performance_rows", window["rows"])
    yield from _figures("performance", window["figures"])
    yield from _figures("performance_promised", window["promised"])
    known = {one["name"] for one in window["figures"]}
    for one in window["promised"]:
        if one["name"] in known:
            level = LEVELS[window["behind"].get(one["name"], "ok")]
            yield Sample("performance_figure_level", level, {"figure": one["name"]})


def _figures(name: str, figures: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    for figure in figures:
        for end, suffix in _ENDS.items():
            if figure.get(end) is not None:
                yield Sample(f"{name}{suffix}", figure[end], {"figure": figure["name"]})


def _seconds(text: str) -> float:
    return from_utc_text(text).timestamp()
