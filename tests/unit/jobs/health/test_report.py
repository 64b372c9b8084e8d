"""The sections: each says what the facts say, in tables that page and terminal share."""

from dataclasses import replace

import pytest

from jobs.health.fact import Facts
from jobs.health.gathering import Subject, gather
from jobs.health.report import Report, report
from jobs.health.section import Table
from tests.factory.health import CLOCK, MODEL, Ward, assessment, column, metric, verdict
from tests.unit.jobs.health.test_page import filled


@pytest.fixture
def facts(ward: Ward) -> Facts:
    return filled(ward)


def table(found: Report, section: str, begins: str) -> Table:
    (chosen,) = (one for one in found.sections if one.name == section)
    return next(one for one in chosen.tables if one.caption.startswith(begins))


def lead(found: Report, section: str) -> str:
    return next(one.lead for one in found.sections if one.name == section)


def texts(found: Table) -> list[list[str]]:
    assert {len(row) for row in found.rows} == {len(found.columns)}
    return [[cell.text for cell in row] for row in found.rows]


def test_runs_of_each_role_the_newest_first_and_what_publishes_a_held_one(facts: Facts) -> None:
    found = report(facts)
    shown = texts(table(found, "runs", "champion, the newest runs first: 4 of the 4"))
    assert [row[1] for row in shown] == ["unfinished", "held", "refused", "published"]
    assert shown[1][3:] == ["ds=2013-12-03", "2013-12-03 05:00 UTC", "1,010", "1,000", "10", "1,234", "30 s", "drift"]
    (held,) = texts(table(found, "runs", "Held"))
    assert held[4] == f"scoretrail runs release {held[0]} --table {facts.sources[1].place}"
    assert texts(table(found, "runs", "Why rows were rejected"))[0][:3] == ["weight_kg: above 1000", "30", "3"]
    assert lead(found, "runs") == "Last publications: champion 30 d 7 h ago, 2013-12-01 05:00 UTC."
    rates = {row[0]: row[1] for row in texts(table(found, "runs", "Rates"))}
    assert rates == {"rows/s, champion": "1,234", "rows in, champion": "1,010", "share rejected, champion": "0.99 %"}


def test_a_run_of_another_role_has_a_table_of_its_own(facts: Facts) -> None:
    other = replace(facts.runs[0], role="challenger", version="2.0.0")
    found = report(replace(facts, runs=(*facts.runs, other)))
    captions = [one.caption.partition(",")[0] for one in next(s for s in found.sections if s.name == "runs").tables]
    assert captions[1:3] == ["champion", "challenger"]


def test_drift_of_each_column_with_what_it_is_held_against(ward: Ward) -> None:
    filled(ward)
    calm = column("calm", 0.01, usual=0.3)
    ward.run(judged=verdict("drift", column("weight", 0.31, "drift"), calm, confirmed=["weight"], rows_left_out=7))
    subject = Subject(model=MODEL, table=ward.table)
    found = report(gather(subject, ward.registry, ward.settings, CLOCK))
    shown = table(found, "drift", "champion 1.0.0, runs: drift")
    assert shown.note == (
        "Newest verdict on ds=2013-12-05: data drift, prediction ok, upstream ok; 1,000 rows; 7 rows left out. "
        "3 verdicts against this baseline, 2 of them drift."
    )
    weight, quiet = texts(shown)
    assert weight[:8] == ["weight", "request", "drift, confirmed", "wasserstein", "0.31", "0.1", "0.2", "–"]
    assert (quiet[0], quiet[2], quiet[4], quiet[7]) == ("calm", "ok", "0.01", "0.3")
    now = report(replace(found.facts, series=()))
    assert lead(now, "drift").startswith("No verdict: ")


def test_performance_is_held_against_the_promise(ward: Ward) -> None:
    segments = [
        assessment("segment", segment={"column": "carrier", "value": name}, figures=[metric("roc_auc", auc)])
        for name, auc in (("AIR", 0.8), ("SEA", 0.6))
    ]
    now = assessment(level="drift", auc=0.6, behind={"roc_auc": "drift"})
    challenger = assessment(role="challenger")
    ward.join(9, performance=[challenger, now, assessment("history"), assessment("history", 1), *segments])
    found = report(filled(ward))
    tables = next(one for one in found.sections if one.name == "performance").tables
    assert tables[0].caption == "champion 1.0.0, 2013-12-02 to 2013-12-08: drift"
    assert texts(tables[0])[0] == ["roc auc", "0.600", "0.580 to 0.620", "0.710", "0.690 to 0.730", "drift"]
    assert texts(tables[0])[1] == ["brier", "0.200", "0.180 to 0.220", "–", "–", "–"]
    assert [row[0] for row in texts(table(found, "performance", "champion 1.0.0, week"))] == [
        "2013-12-09",
        "2013-12-02",
    ]
    assert [row[0] for row in texts(table(found, "performance", "Segments"))] == ["carrier SEA", "carrier AIR"]
    assert any(one.caption.startswith("challenger") for one in tables)


def test_labels_have_their_coverage_and_their_delay(ward: Ward, facts: Facts) -> None:
    rows = dict(texts(table(report(facts), "labels", "Join")))
    assert list(rows)[:4] == ["coverage", "predictions", "labelled", "unlabelled"]
    assert (rows["coverage"], rows["delay of a label, p95"]) == ("90.1 %", "1 d 1 h")
    two = replace(facts, coverage=(("a", 0.5), ("b", 0.75)))
    assert dict(texts(table(report(two), "labels", "Join")))["coverage by join"] == "▆█"


def test_stream_and_deployments(facts: Facts) -> None:
    found = report(facts)
    (flow,) = texts(table(found, "stream", "Workers now"))
    assert flow == ["champion", "2", "–", "–", "–", "3 s", "–", "200 ms", "–"]
    (volume,) = texts(table(found, "stream", "Archived"))
    assert volume[:5] == ["champion", "1.0.0", "2013-12-2", "9", "2"]
    figures = dict(texts(table(found, "deployments", "How")))
    assert (figures["deployments"], figures["rollbacks"], figures["time to recover, median"]) == ("2", "1", "1 d")
    assert figures["share rolled back"] == "50 %"
    assert [row[4] for row in texts(table(found, "deployments", "Moves"))] == [
        "rollback, after 1 d",
        "deployment",
        "–",
        "deployment",
    ]


@pytest.mark.parametrize("section", ["alerts", "runs", "stream", "drift", "performance", "labels"])
def test_where_nothing_is_known_a_section_says_why(facts: Facts, section: str) -> None:
    bare = Facts(model="parcel", at=facts.at, sources=tuple(replace(one, state="failed") for one in facts.sources))
    assert "cannot be read: " in lead(report(bare), section)
    absent = replace(bare, sources=tuple(replace(one, state="absent") for one in facts.sources))
    assert "was not read: " in lead(report(absent), section)
    empty = replace(bare, sources=tuple(replace(one, state="empty") for one in facts.sources))
    assert lead(report(empty), section)
