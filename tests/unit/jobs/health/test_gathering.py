"""Gathering: every source on its own, and a stated line for what is not there or cannot be read."""

import time
from pathlib import Path

import pytest

from jobs.health import batch, gathering
from jobs.health.fact import Facts
from jobs.health.gathering import Subject, gather
from tests.factory.health import CLOCK, MODEL, Ward, verdict


def facts(ward: Ward, **places: str | None) -> Facts:
    return gather(Subject(model=MODEL, **places), ward.registry, ward.settings, CLOCK)


def states(found: Facts) -> dict[str, str]:
    return {one.name: one.state for one in found.sources}


def detail(found: Facts, name: str) -> str:
    source = found.source(name)
    assert source is not None
    return source.detail


def test_all_that_is_there_is_read(ward: Ward) -> None:
    ward.run(judged=verdict("drift"))
    ward.join(1)
    found = facts(ward, table=ward.table, labelled=ward.labelled, archive=str(ward.folder / "archive"))
    assert states(found) == {
        "registry": "read",
        "scored table": "read",
        "archive": "empty",
        "labelled table": "read",
        "Prometheus": "absent",
    }
    assert found.at == "2013-12-31T12:00:00.000000Z"
    assert [one.alias for one in found.standings] == ["champion"]
    assert ([one.status for one in found.runs], [one.level for one in found.series]) == (["published"], ["drift"])
    assert found.labels is not None
    assert found.coverage == ((found.labels.join_id, 0.901),)
    assert found.archived_at is None


def test_what_nobody_configured_is_said_with_the_setting_that_names_it(ward: Ward) -> None:
    found = facts(ward)
    assert detail(found, "scored table") == "batch.table is not set"
    assert detail(found, "archive") == "archive.table is not set"
    assert detail(found, "labelled table") == "labels.table is not set"
    assert detail(found, "Prometheus") == "health.prometheus is not set"


def test_a_damaged_record_is_said_and_the_others_are_there(ward: Ward) -> None:
    ward.run()
    bad = ward.run()
    (Path(ward.table) / "_scoretrail" / bad.run_id / "run.json").write_bytes(b"{")
    (ward.folder / "registry" / MODEL / "1.0.0" / "manifest.json").write_bytes(b"{")
    found = facts(ward, table=ward.table)
    assert states(found) | {"registry": "failed", "scored table": "failed"} == states(found)
    assert detail(found, "scored table") == f"1 record cannot be read: {bad.run_id}"
    assert detail(found, "registry") == "1 record cannot be read: the manifest of 1.0.0"
    assert ([one.status for one in found.runs], len(found.standings)) == (["published", "damaged"], 1)


def test_a_damaged_alias_record_leaves_the_runs(ward: Ward) -> None:
    ward.run()
    (ward.folder / "registry" / MODEL / "aliases" / "000001.json").write_bytes(b"{")
    found = facts(ward, table=ward.table)
    assert (states(found)["registry"], len(found.runs)) == ("failed", 1)
    assert "alias record cannot be read" in detail(found, "registry")


def test_a_damaged_join_leaves_the_others(ward: Ward) -> None:
    ward.join(1)
    folder = Path(ward.labelled) / "_scoretrail" / "20131230T000000-x"
    folder.mkdir()
    (folder / "join.json").write_text("{}")
    found = facts(ward, labelled=ward.labelled)
    assert (states(found)["labelled table"], found.labels is not None) == ("failed", True)


def test_a_prometheus_that_is_away_is_said(ward: Ward) -> None:
    found = facts(ward, prometheus="http://127.0.0.1:9")
    assert states(found)["Prometheus"] == "failed"
    assert "Prometheus does not answer: " in detail(found, "Prometheus")


def test_whatever_goes_wrong_in_one_source_is_its_own(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(batch, "read_runs", broken)
    found = facts(ward, table=ward.table)
    assert detail(found, "scored table") == "ZeroDivisionError: what nobody thought of"
    assert states(found)["registry"] == "read"


def test_a_source_that_does_not_answer_in_time_is_left_out(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "DEADLINE_S", 0.2)
    monkeypatch.setattr(batch, "read_runs", lambda *_: time.sleep(1))
    began = time.monotonic()
    found = facts(ward, table=ward.table)
    assert time.monotonic() - began < 0.9
    assert detail(found, "scored table") == "no answer within 0.2 s"
    assert states(found)["registry"] == "read"


def test_a_registry_without_the_model_is_empty(ward: Ward) -> None:
    found = gather(Subject(model="unknown"), ward.registry, ward.settings, CLOCK)
    assert (states(found)["registry"], found.standings) == ("empty", ())
