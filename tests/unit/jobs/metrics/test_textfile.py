"""Files for the collector: one for each model, role and output, whole, and never the cause of a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics.catalogue import PREFIX, TABLE
from jobs.metrics.metric import Subject
from jobs.metrics.textfile import Textfiles, file_name
from scoretrail import log
from scoretrail.config import MetricsSettings
from scoretrail.errors import ConfigurationError, DependencyError
from tests.factory.run_record import join_of_labels, scoring_run, verdict

NO_ROWS = {"in": 0, "filtered": 0, "scored": 0, "rejected": 0, "skipped": 100, "removed": 0}


@pytest.fixture
def textfiles(tmp_path: Path) -> Textfiles:
    return Textfiles(MetricsSettings(textfile_folder=str(tmp_path), owners={"flight-delay": "flights"}))


def told(folder: Path) -> dict[str, dict[str, float]]:
    """Return file -> metric -> the sum of its values; every sample must have the labels of its subject."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.iterdir()):
        sums = found.setdefault(path.name, {})
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for one in family.samples:
                assert {"model", "role", "output", "owner"} <= one.labels.keys()
                sums[one.name] = sums.get(one.name, 0.0) + one.value
    return found


def the_file(folder: Path) -> dict[str, float]:
    (only,) = told(folder).values()
    return only


def test_without_a_folder_nobody_is_told() -> None:
    silent = Textfiles(MetricsSettings())
    silent.check()
    silent.tell_run(scoring_run(), "somebody", verdict())


def test_a_run_and_its_verdict_have_a_file_each(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.check()
    textfiles.tell_run(scoring_run(), "somebody", verdict())
    files = told(tmp_path)
    assert [name.rpartition("_")[0] for name in files] == [
        "scoretrail_batch_flight-delay_champion",
        "scoretrail_drift_flight-delay_champion",
    ]
    assert all(name.endswith(".prom") for name in files)
    text = (tmp_path / next(iter(files))).read_text(encoding="utf-8")
    assert 'owner="flights"' in text
    assert "# HELP scoretrail_batch_rejected_ratio Share of the rows" in text


def test_the_owner_is_the_one_of_the_card_where_the_settings_name_none(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_run(scoring_run(model="other"), "the card's")
    assert 'owner="the card\'s"' in next(tmp_path.iterdir()).read_text(encoding="utf-8")


def test_what_a_later_run_does_not_know_stays_and_the_rest_is_replaced(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_run(scoring_run(), "x")
    before = the_file(tmp_path)
    textfiles.tell_run(scoring_run("held", rows={**NO_ROWS, "in": 10, "scored": 10}), "x")
    held = the_file(tmp_path)
    assert held["scoretrail_batch_last_success_timestamp_seconds"] == pytest.approx(
        before["scoretrail_batch_last_success_timestamp_seconds"]
    )
    assert held["scoretrail_batch_rejected_ratio"] == 0
    textfiles.tell_run(scoring_run("unchanged", rows=NO_ROWS, rows_per_s=0.0), "x")
    after = the_file(tmp_path)
    assert after["scoretrail_batch_rows_per_second"] == 50
    assert (
        after["scoretrail_batch_last_success_timestamp_seconds"] > held["scoretrail_batch_last_run_timestamp_seconds"]
    )


def test_an_owner_that_changes_is_changed_in_what_stays(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_run(scoring_run(), "x")
    others = Textfiles(MetricsSettings(textfile_folder=str(tmp_path), owners={"flight-delay": "others"}))
    others.tell_run(scoring_run("refused"), "x")
    assert "flights" not in next(tmp_path.iterdir()).read_text(encoding="utf-8")


def test_two_tables_of_a_model_do_not_hide_each_other(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_run(scoring_run(output="s3://lake/eu"), "x")
    textfiles.tell_run(scoring_run(output="s3://lake/us"), "x")
    assert len(told(tmp_path)) == 2
    assert file_name("batch", Subject("a/b", "c", "t", "o")) != file_name("batch", Subject("a-b", "c", "t", "o"))


def test_a_join_is_told_of_each_model_and_role(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_labels(join_of_labels(), output="s3://lake/labelled", owners={"flight-delay": "x"})
    names = [name.rpartition("_")[0] for name in told(tmp_path)]
    assert names == ["scoretrail_labels_flight-delay_challenger", "scoretrail_labels_flight-delay_champion"]


def test_a_verification_is_told(textfiles: Textfiles, tmp_path: Path) -> None:
    textfiles.tell_verification(5, 1, 2.0, Subject("m", "champion", "predictions", "x"))
    assert the_file(tmp_path)["scoretrail_verify_faults"] == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"# HELP broken\n{nonsense",
        b"other_metric 1\n",
        b'scoretrail_batch_last_success_timestamp_seconds{model="m",role="r",output="t",owner="o",more="x"} 1\n',
    ],
)
def test_a_damaged_file_is_replaced(textfiles: Textfiles, tmp_path: Path, damage: bytes) -> None:
    textfiles.tell_run(scoring_run(), "x")
    path = next(tmp_path.iterdir())
    path.write_bytes(damage)
    textfiles.tell_run(scoring_run("held"), "x")
    assert "scoretrail_batch_status" in the_file(tmp_path)
    assert {"other_metric", "scoretrail_batch_last_success_timestamp_seconds"} & the_file(tmp_path).keys() == set()


def test_a_file_that_cannot_be_written_is_a_line_in_the_log(
    textfiles: Textfiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.rename(tmp_path.with_name("gone"))
    log.configure("warning", "json")
    textfiles.tell_run(scoring_run(), "x")
    assert f'"event": "{log.METRICS_WRITE_FAILED}"' in capsys.readouterr().err
    tmp_path.with_name("gone").rename(tmp_path)


def test_a_folder_that_is_not_there_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="metrics cannot be written") as caught:
        Textfiles(MetricsSettings(textfile_folder=str(tmp_path / "nowhere"))).check()
    assert caught.value.where == "metrics.textfile_folder"


def test_a_client_that_is_missing_is_named_with_its_extra(
    textfiles: Textfiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "jobs.metrics.exposition")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(DependencyError, match="client is not installed") as caught:
        textfiles.check()
    assert caught.value.fix == "pip install 'scoretrail[batch]'"


def test_the_table_has_each_name_once_with_units_and_a_sentence() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    assert all(metric.kind == "gauge" and metric.help.endswith(".") for metric in TABLE)
    assert PREFIX == "scoretrail_"
