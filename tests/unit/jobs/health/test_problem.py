"""What is wrong, worst first: one kind of problem after the other, and how alerts agree with them."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.health.fact import Alert, Assessment, DriftSeries, Facts, LabelJoin, Run, Source, Standing, Trend
from jobs.health.problem import Problem, headline, problems, runbook_of

AT = "2013-12-31T12:00:00.000000Z"
CHAMPION = Standing(alias="champion", version="1.0.0", number=1, since=AT, reason="", bundle_sha256="a" * 64)
SOURCES = (
    Source(name="registry", place="/registry", state="read"),
    Source(name="scored table", place="/my scores", state="read"),
)
WELL = Facts(model="parcel", at=AT, sources=SOURCES, standings=(CHAMPION,))


def run(status: str = "published", **changes: Any) -> Run:
    found = {"run_id": "r1", "status": status, "role": "champion", "version": "1.0.0", "slices": ("ds=1",)}
    return Run(**{**found, "started_at": "2013-12-31T05:00:00.000000Z", "rows": {"in": 9, "rejected": 4}, **changes})


def series(level: Any = "drift", role: str = "champion", *, confirmed: bool = False, **kinds: Any) -> DriftSeries:
    trend = Trend(
        group="request",
        name="weight",
        level=level,
        measure="wasserstein",
        value=0.3,
        warn=0.1,
        drift=0.2,
        usual=None,
        detail="",
        is_confirmed=confirmed,
        values=(0.3,),
        levels=(level,),
    )
    return DriftSeries(
        source="batch",
        role=role,
        version="1.0.0",
        run_id="r1",
        level=level,
        kinds={"data": level, "prediction": "ok", "upstream": "ok", **kinds},
        rows=9,
        rows_left_out=0,
        points=("ds=1",),
        levels=(level,),
        trends=(trend,),
    )


def joined(level: Any, role: str = "champion", kind: Any = "rolling") -> LabelJoin:
    one = Assessment(
        kind=kind,
        role=role,
        version="1.0.0",
        start="2013-12-01",
        end="2013-12-28",
        segment=None,
        rows=900,
        positives=90,
        level=level,
        behind={"roc_auc": level, "brier": "warn"},
        figures={},
        promised={},
        calibration=(),
    )
    return LabelJoin(join_id="j", finished_at=AT, level=level, rows={}, delay_s={}, assessments=(one,))


def alert(name: str, severity: str = "page", role: str | None = "champion", state: Any = "firing") -> Alert:
    return Alert(name=name, state=state, severity=severity, role=role, since=AT, summary="", runbook_url=None)


def said(facts: Facts) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in problems(facts)]


def test_where_nothing_is_wrong_nothing_is_said() -> None:
    well = replace(WELL, runs=(run(),), series=(series("ok"), series("not_enough_data")), labels=joined("ok"))
    assert problems(well) == []


def test_a_model_without_a_champion() -> None:
    assert said(replace(WELL, standings=())) == [("page", "parcel has no champion")]
    unknown = replace(WELL, standings=(), sources=(Source(name="registry", place="/r", state="failed", detail="away"),))
    assert said(unknown) == [("ticket", "registry cannot be read whole: what follows leaves it out")]


@pytest.mark.parametrize(
    ("status", "severity", "runbook", "command"),
    [
        ("held", "ticket", "ScoretrailBatchHeld", "scoretrail runs release r1 --table '/my scores'"),
        ("refused", "page", "ScoretrailBatchRefused", "scoretrail runs show r1 --table '/my scores'"),
        ("unfinished", "ticket", None, "scoretrail runs show r1 --table '/my scores'"),
    ],
)
def test_a_run_that_waits_for_somebody(status: str, severity: str, runbook: str | None, command: str) -> None:
    (found,) = problems(replace(WELL, runs=(run(status, is_settled=False),)))
    assert (found.severity, found.runbook, found.command, found.role) == (severity, runbook, command, "champion")
    assert problems(replace(WELL, runs=(run(status, is_settled=True),))) == []


def test_a_run_that_has_only_begun_is_no_problem() -> None:
    young = run("unfinished", is_settled=False, started_at="2013-12-31T11:30:00.000000Z")
    assert problems(replace(WELL, runs=(young,))) == []


def test_a_damaged_record_is_said_once() -> None:
    sources = (SOURCES[0], replace(SOURCES[1], state="failed", detail="1 record cannot be read: r1"))
    found = problems(replace(WELL, sources=sources, runs=(run("damaged", damaged="/x/run.json"),)))
    assert [(one.what, one.detail) for one in found] == [("the record of run r1 cannot be read", "/x/run.json")]


@pytest.mark.parametrize(
    ("one", "severity", "runbook"),
    [
        (series(), "ticket", "ScoretrailDrift"),
        (series(prediction="drift"), "page", "ScoretrailDrift"),
        (series(upstream="drift"), "page", "ScoretrailDrift"),
        (series(confirmed=True), "page", "ScoretrailDriftConfirmed"),
        (series(role="challenger", confirmed=True, prediction="drift"), "ticket", "ScoretrailDriftConfirmed"),
        (series("warn"), "info", "ScoretrailDriftWarning"),
    ],
)
def test_drift_is_as_bad_as_its_kind_and_its_role(one: DriftSeries, severity: str, runbook: str) -> None:
    (found,) = problems(replace(WELL, series=(one,)))
    assert (found.severity, found.runbook) == (severity, runbook)
    assert "weight" in found.detail
    assert found.command == "scoretrail drift report --run r1 --table '/my scores'"


@pytest.mark.parametrize(
    ("join", "severity"),
    [(joined("drift"), "page"), (joined("drift", "challenger"), "ticket"), (joined("warn"), "info")],
)
def test_performance_that_is_worse_than_promised(join: LabelJoin, severity: str) -> None:
    (found,) = problems(replace(WELL, labels=join))
    assert (found.severity, found.runbook) == (severity, "ScoretrailConceptDrift")
    assert "roc auc" in found.what


@pytest.mark.parametrize("kind", ["history", "segment"])
def test_only_the_rolling_window_has_a_say(kind: str) -> None:
    assert problems(replace(WELL, labels=joined("drift", kind=kind))) == []


def test_firing_alerts_are_problems_and_pending_ones_are_not() -> None:
    facts = replace(
        WELL,
        alerts=(
            alert("ScoretrailStreamLag", "ticket"),
            alert("Disk", "critical", None),
            alert("Quiet", "info"),
            alert("Soon", state="pending"),
        ),
    )
    assert [(one.severity, one.runbook) for one in problems(facts)] == [
        ("page", "Disk"),
        ("ticket", "ScoretrailStreamLag"),
        ("info", "Quiet"),
    ]


@pytest.mark.parametrize("name", ["ScoretrailDrift", "ScoretrailDriftConfirmed", "ScoretrailDriftWarning"])
def test_an_alert_about_what_is_known_anyway_is_not_said_twice_but_raises_it(name: str) -> None:
    facts = replace(WELL, series=(series(),), alerts=(alert(name, "page"),))
    (found,) = problems(facts)
    assert (found.severity, found.runbook) == ("page", "ScoretrailDrift")
    of_another_role = replace(facts, alerts=(alert(name, "page", "challenger"),))
    assert [one.role for one in problems(of_another_role)] == ["challenger", "champion"]


def test_the_worst_comes_first_and_the_headline_names_it() -> None:
    facts = replace(
        WELL,
        runs=(run("held", is_settled=False),),
        series=(series("warn"),),
        labels=joined("drift"),
        sources=(*SOURCES, Source(name="Prometheus", place="http://p", state="failed", detail="refused")),
    )
    found = problems(facts)
    assert [one.severity for one in found] == ["page", "ticket", "info", "info"]
    assert headline(found) == "champion 1.0.0 is worse than promised: roc auc, and 3 other things"
    assert headline(found[:2]) == "champion 1.0.0 is worse than promised: roc auc, and 1 other thing"
    assert headline(found[:1]) == "champion 1.0.0 is worse than promised: roc auc"


@pytest.mark.parametrize(
    ("url", "base", "link"),
    [
        (None, None, None),
        (None, "../runbooks/", "../runbooks/Name%20x.md"),
        ("https://elsewhere/x", None, "https://elsewhere/x"),
        ("https://elsewhere/x", "https://here", "https://here/Name%20x.md"),
        ("javascript:alert(1)", None, None),
    ],
)
def test_a_runbook_is_linked_where_somebody_said_where_it_lies(
    url: str | None, base: str | None, link: str | None
) -> None:
    problem = Problem(severity="page", what="x", runbook="Name x", runbook_url=url)
    assert runbook_of(problem, base) == ("Name x", link)
    assert runbook_of(replace(problem, runbook=None), base) is None
