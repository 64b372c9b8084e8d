"""Keeping the page beside the predictions: where it lies, and that it never fails what went before."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jobs.health import keeping
from jobs.health.gathering import Subject
from jobs.health.keeping import keep_page, subject_of
from scoretrail import log
from scoretrail.config import load
from tests.factory.health import CLOCK, MODEL, Ward, verdict


def keep(ward: Ward, **places: Any) -> str | None:
    return keep_page(Subject(model=MODEL, **places), ward.registry, ward.settings, CLOCK)


def test_the_page_lies_below_the_scored_table(ward: Ward) -> None:
    ward.run(judged=verdict("drift"))
    place = keep(ward, table=ward.table, labelled=ward.labelled)
    assert place == f"{ward.table}/_scoretrail/health/parcel.html"
    assert "champion 1.0.0 drifted" in Path(place).read_text(encoding="utf-8")
    ward.move("champion", "2.0.0")
    assert keep(ward, table=ward.table) == place
    assert "2.0.0" in Path(place).read_text(encoding="utf-8"), "it is written anew"
    assert len(ward.store.run_ids()) == 1, "and is no run"


def test_without_a_scored_table_it_lies_below_the_archive_or_the_labels(ward: Ward) -> None:
    archive = str(ward.folder / "archive")
    assert keep(ward, archive=archive, labelled=ward.labelled) == f"{archive}/_scoretrail/health/parcel.html"
    assert keep(ward, labelled=ward.labelled) == f"{ward.labelled}/_scoretrail/health/parcel.html"
    assert keep(ward) is None


def test_a_page_that_cannot_be_written_is_a_warning(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as logs:
        assert keep(ward, table=str(tmp_path / "file")) is None
    (event,) = logs
    assert (event["event"], event["log_level"]) == (log.HEALTH_PAGE_FAILED, "warning")
    assert event["page"] == f"{tmp_path}/file/_scoretrail/health/parcel.html"


def test_a_fault_of_our_own_is_a_warning_too(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(keeping, "report", broken)
    with capture_logs() as logs:
        assert keep(ward, table=ward.table) is None
    assert "what nobody thought of" in logs[0]["error"]


def test_places_come_from_the_settings_unless_they_are_given(tmp_path: Path) -> None:
    named = {"batch.table": "scored", "archive.table": "s3://b/archive/", "health.prometheus": "http://127.0.0.1:9090"}
    found = subject_of(load(named, folder=tmp_path).settings, MODEL, table="/elsewhere", labelled="/labelled")
    assert found == Subject(
        model=MODEL,
        table="/elsewhere",
        archive="s3://b/archive",
        labelled="/labelled",
        prometheus="http://127.0.0.1:9090",
    )
    assert subject_of(load(named, folder=tmp_path).settings, MODEL).table == str(Path("scored").absolute())
