"""``scoretrail status``: the same facts as the page's, in the terminal, as JSON, and written as the page."""

from pathlib import Path

import pytest

from tests.factory.health import MODEL, Ward, verdict
from tests.unit.jobs.command.conftest import Answer, Call


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    found = Ward(tmp_path / "ward")
    found.publish("1.0.0")
    found.move("champion", "1.0.0")
    found.run(judged=verdict("drift"))
    found.run("held", verdict("drift", confirmed=["weight"]))
    return found


def asked(call: Call, ward: Ward, *words: str) -> Answer:
    return call("status", "--set", f"registry.uri={ward.folder / 'registry'}", *words)


def test_the_terminal_says_first_what_is_wrong(call: Call, ward: Ward) -> None:
    answer = asked(call, ward, "--table", ward.table)
    assert answer.code == 0
    first, _, second = answer.out.splitlines()[:3]
    assert first.endswith("champion 1.0.0 drifted from its baseline: data, and 1 other thing")
    assert first.startswith("parcel, ")
    assert second == "page: champion 1.0.0 drifted from its baseline: data"
    for text in (
        f"$ scoretrail runs release {ward.store.run_ids()[-1]} --table {ward.table}",
        "runbook: ScoretrailBatchHeld",
        "CHAMPION AND CHALLENGER",
        "parcel team",
        "STREAM: Prometheus was not read: health.prometheus is not set.",
        "DEPLOYMENTS: ",
    ):
        assert text in answer.out
    assert "<" not in answer.out, "no mark-up"


def test_json_has_the_facts_and_the_problems(call: Call, ward: Ward) -> None:
    found = asked(call, ward, "--table", ward.table, "--json").object
    assert (found["model"], found["headline"].startswith("champion 1.0.0 drifted")) == (MODEL, True)
    assert [one["severity"] for one in found["problems"]] == ["page", "ticket"]
    assert [one["status"] for one in found["runs"]] == ["published", "held"]
    assert [one["state"] for one in found["sources"]] == ["read", "read", "absent", "absent", "absent"]


def test_the_page_is_written_anywhere(call: Call, ward: Ward, tmp_path: Path) -> None:
    answer = asked(call, ward, "--table", ward.table, "--page", str(tmp_path / "page.html"))
    assert (answer.code, f"page: {tmp_path / 'page.html'}" in answer.err) == (0, True)
    assert "champion 1.0.0 drifted" in (tmp_path / "page.html").read_text(encoding="utf-8")
    refused = asked(call, ward, "--table", ward.table, "--page", str(tmp_path / "none" / "page.html"))
    assert (refused.code, "the page cannot be written" in refused.err) == (78, True)


def test_runbooks_are_linked_where_the_setting_says(call: Call, ward: Ward) -> None:
    words = ("--table", ward.table, "--set", "health.runbooks=https://docs.example/runbooks")
    assert "runbook: https://docs.example/runbooks/ScoretrailBatchHeld.md" in asked(call, ward, *words).out


def test_the_model_is_that_of_the_newest_run_or_the_registrys_only_one(call: Call, ward: Ward) -> None:
    assert asked(call, ward, "--json").object["model"] == MODEL
    other = ward.registry.manifest(MODEL, "1.0.0").model_copy(update={"name": "another"})
    ward.registry.publish(other, dict.fromkeys(other.files, b"x"))
    answer = asked(call, ward)
    assert (answer.code, "which model?" in answer.err, "another, parcel" in answer.err) == (2, True, True)
    assert asked(call, ward, "--table", ward.table, "--json").object["model"] == MODEL
    assert asked(call, ward, "--model", "another", "--json").object["headline"] == "another has no champion"


@pytest.mark.parametrize(
    "setting", ["health.prometheus=http://user:secret@host", "health.prometheus=host", "health.runbooks=javascript:x"]
)
def test_a_place_that_would_be_unsafe_is_refused(call: Call, ward: Ward, setting: str) -> None:
    answer = asked(call, ward, "--set", setting)
    assert (answer.code, f"setting {setting.partition('=')[0]} cannot be used" in answer.err) == (78, True)
    assert "secret" not in answer.err
