"""Verdicts one after the other: a series for each source and role, its columns the worst first."""

from typing import Any, Literal

from jobs.health.series import Judged, series
from tests.factory.health import check, column, verdict


def judged(
    found: dict[str, Any], point: str = "p", *, role: str = "champion", source: Literal["batch", "stream"] = "batch"
) -> Judged:
    return Judged(source, role, "1.0.0", point, f"run {point}" if source == "batch" else None, found)


def test_a_column_has_its_worst_measure_in_every_verdict() -> None:
    before = verdict("ok", column("weight", 0.02), column("gone", 0.1))
    now = verdict("drift", column("weight", 0.3, "drift"), column("new", 0.01), confirmed=["weight"])
    (found,) = series([judged(before, "a"), judged(now, "b")])
    assert (found.level, found.points, found.levels, found.run_id) == ("drift", ("a", "b"), ("ok", "drift"), "run b")
    weight, new = found.trends
    assert (weight.name, weight.values, weight.levels) == ("weight", (0.02, 0.3), ("ok", "drift"))
    assert (weight.is_confirmed, new.is_confirmed) == (True, False)
    assert (new.name, new.values, new.levels) == ("new", (None, 0.01), (None, "ok"))


def test_the_worst_comes_first_and_a_usual_day_is_no_reason_to() -> None:
    calm = column("calm", 0.15)
    usual = column("usual", 7.0, usual=8.0)
    near = column("near", 0.19)
    (found,) = series([judged(verdict("warn", calm, usual, column("warned", 0.12, "warn"), near))])
    assert [one.name for one in found.trends] == ["warned", "near", "usual", "calm"]


def test_of_several_measures_the_one_that_says_most_is_shown() -> None:
    two = column("two", 0.05)
    two["checks"].append(check(0.04, "drift", "missing", warn=0.01, drift=0.03))
    (found,) = series([judged(verdict("drift", two))])
    assert (found.trends[0].measure, found.trends[0].value) == ("missing", 0.04)


def test_verdicts_against_another_baseline_are_other_figures() -> None:
    other = verdict("drift", baseline_sha256="another")
    (found,) = series([judged(other, "a"), judged(verdict(), "b"), judged(other, "c"), judged(verdict(), "d")])
    assert found.points == ("b", "d")


def test_batch_comes_before_the_stream_and_the_champion_first() -> None:
    found = series(
        [
            judged(verdict(), source="stream"),
            judged(verdict(), role="challenger"),
            judged(verdict(), role="canary"),
            judged(verdict()),
        ]
    )
    assert [(one.source, one.role) for one in found] == [
        ("batch", "champion"),
        ("batch", "challenger"),
        ("batch", "canary"),
        ("stream", "champion"),
    ]


def test_a_column_with_too_few_rows_has_no_trend() -> None:
    silent = column("silent", 0.0, "not_enough_data") | {"checks": []}
    (found,) = series([judged(verdict("not_enough_data", silent))])
    assert (found.level, found.trends) == ("not_enough_data", ())


def test_no_verdict_is_no_series() -> None:
    assert series([]) == ()
