"""Records of joins: what is kept of them, and what becomes of those that are damaged."""

from pathlib import Path

from jobs.health.labels import coverage, read_joins
from scoretrail.storage import Storage
from tests.factory.health import MODEL, Ward, assessment, metric


def trail(ward: Ward) -> Storage:
    return Storage(f"{ward.labelled}/_scoretrail")


def test_the_newest_join_has_the_assessments_of_the_model(ward: Ward) -> None:
    other = assessment(model={"name": "another", "version": "1.0.0", "bundle_sha256": ""})
    part = assessment("segment", segment={"column": "carrier", "value": "SEA"}, figures=[metric("brier", 0.1)])
    ward.join(1)
    ward.join(2, level="warn", performance=[assessment(level="warn", behind={"roc_auc": "warn"}), other, part])
    (first, newest), damaged = read_joins(trail(ward), MODEL)
    assert (first.level, newest.level, damaged) == ("ok", "warn", [])
    rolling, segment = newest.assessments
    assert (rolling.kind, rolling.role, rolling.version, rolling.start) == (
        "rolling",
        "champion",
        "1.0.0",
        "2013-12-02",
    )
    assert (rolling.figures["roc_auc"].value, rolling.promised["roc_auc"].value) == (0.7, 0.71)
    assert (rolling.behind, rolling.calibration[0]) == ({"roc_auc": "warn"}, (0.05, 0.04, 100))
    assert (segment.segment, list(segment.figures)) == ("carrier SEA", ["brier"])


def test_coverage_is_the_share_of_predictions_with_a_label(ward: Ward) -> None:
    ward.join(1)
    ward.join(2)
    ward.join(3, rows={"predictions": 0, "labelled": 0})
    joins, _ = read_joins(trail(ward), MODEL)
    assert [share for _, share in coverage(joins)] == [0.901, 0.902]


def test_only_the_newest_are_read(ward: Ward) -> None:
    for number in range(5):
        ward.join(number)
    joins, _ = read_joins(trail(ward), MODEL, newest=2)
    assert [one.rows["labelled"] for one in joins] == [903, 904]


def test_a_damaged_record_and_a_folder_of_something_else_leave_the_others(ward: Ward) -> None:
    ward.join(1)
    storage = trail(ward)
    storage.put("20131205T000000-damaged/join.json", b'{"join_id": "x"}')
    storage.put("20131206T000000-damaged/join.json", b"\xff")
    storage.put("known/part.json", b"{}")
    joins, damaged = read_joins(storage, MODEL)
    assert [one.rows["labelled"] for one in joins] == [901]
    assert [Path(one).parent.name for one in damaged] == ["20131205T000000-damaged", "20131206T000000-damaged"]


def test_a_table_without_joins(ward: Ward) -> None:
    assert read_joins(trail(ward), MODEL) == ([], [])
