"""Outcomes joined to predictions in real tables: what counts, what is kept, what is counted, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.archive.erasure import ErasureRequest, erase
from jobs.labels.store import LabelStore
from scoretrail.errors import (
    BundleError,
    ConflictError,
    InputChangedError,
    InputError,
    OutputTableError,
    SchemaMismatchError,
    ScoretrailError,
    StorageError,
    UsageError,
)
from scoretrail.model.manifest import Output
from scoretrail.table import OutputTable
from scoretrail.trail.label_join import JoinStore
from tests.factory.archived import Archive
from tests.factory.bare import BARE_FILES, open_registry
from tests.factory.labelled import DAY, HOUR, SCORED_AT, Truth, at, label, prediction
from tests.factory.streamed import SENT_AT, chances, event, handler

COUNTS = ("predictions", "labelled", "unlabelled", "repeated", "corrected", "conflicting", "early", "unmatched")


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """Three predictions of one model, at noon of a Monday."""
    found = Truth(tmp_path)
    found.register()
    found.predict([prediction(key, score) for key, score in (("a", 0.9), ("b", 0.2), ("c", 0.6))])
    return found


def counts(**found: int) -> dict[str, int]:
    return {**dict.fromkeys(COUNTS, 0), **found}


def status(truth: Truth) -> dict[str, tuple[str, str | None]]:
    return {row["parcel_id"]: (row["status"], row["outcome"]) for row in truth.rows()}


def test_a_label_meets_its_prediction(truth: Truth) -> None:
    truth.arrive([label("a"), label("b", "0", at(hour=13))])
    record = truth.join(segments=("place",))
    assert record.status == "published"
    assert record.rows == counts(predictions=3, labelled=2, unlabelled=1)
    row = truth.row("a")
    assert (row["status"], row["outcome"], row["known_at"]) == ("labelled", "1", at(hour=18))
    assert (row["label_delay_s"], row["labels_received"], row["labels_replaced"], row["labels"]) == (
        21600.0,
        1,
        0,
        None,
    )
    assert (row["score"], row["label"], row["run_id"], row["ce_id"], row["place"]) == (0.9, "1", "r1", None, "HERE")
    assert (str(row["event_date"]), row["role"], row["scored_at"]) == ("2013-12-02", "champion", SCORED_AT)
    assert record.delay_s == {"p50": 12600.0, "p95": 20700.0, "max": 21600.0}


def test_the_same_command_twice_commits_nothing_the_second_time(truth: Truth) -> None:
    truth.arrive([label("a"), label("b", "0"), label("b", "1"), label("c", "0"), label("c", "1", at(1))])
    first, second = truth.join(segments=("place",)), truth.join(segments=("place",))
    assert (first.status, second.status) == ("published", "unchanged")
    assert first.output == second.output == {"table": truth.output, "version": truth.table().version}
    assert first.rows == second.rows
    assert first.outcomes["data_sha256"] == second.outcomes["data_sha256"]
    assert JoinStore(truth.output).join_ids() == sorted([first.join_id, second.join_id])


def test_later_labels_rewrite_the_dates_that_they_touch_in_one_commit(truth: Truth) -> None:
    truth.predict([prediction("d", when=at(1)), prediction("e", when=at(2))])
    truth.arrive([label("a"), label("d", sent_at=at(1)), label("e", sent_at=at(2))])
    truth.join()
    before, version = {file.path for file in truth.table().live_files()}, truth.table().version
    truth.arrive([label("b", "0", at(9)), label("d", "0", at(9), sent_at=at(1))])
    record = truth.join()
    after = {file.path for file in truth.table().live_files()}
    assert version is not None
    assert truth.table().version == version + 1
    assert {path.partition("/")[0] for path in before - after} == {"event_date=2013-12-02", "event_date=2013-12-03"}
    assert record.rows == counts(predictions=5, labelled=4, unlabelled=1, corrected=1)
    assert truth.row("d")["labels"] == json.dumps(
        [["1", "2013-12-03T18:00:00.000000Z"], ["0", "2013-12-11T12:00:00.000000Z"]]
    )
    assert truth.join().status == "unchanged"


def test_a_label_needs_the_key_and_the_time_of_its_prediction(truth: Truth) -> None:
    truth.predict([prediction("a", 0.1, at(1))])
    truth.arrive([label("a", sent_at=at(1)), label("a", sent_at=at(hour=11)), label("x")])
    record = truth.join()
    assert [(row["parcel_id"], row["sent_at"]) for row in truth.rows()] == [("a", at(1))]
    assert record.rows == counts(predictions=4, labelled=1, unlabelled=3, unmatched=2)


def test_what_is_said_twice_counts_once(truth: Truth) -> None:
    truth.arrive([label("a"), label("a"), label("a", known=at(2))])
    truth.arrive([label("a")])
    record = truth.join()
    assert record.rows == counts(predictions=3, labelled=1, unlabelled=2, repeated=3)
    row = truth.row("a")
    assert (row["known_at"], row["labels_received"], row["labels_replaced"]) == (at(hour=18), 2, 0)


def test_a_later_label_corrects_and_what_it_replaced_is_kept(truth: Truth) -> None:
    truth.arrive([label("a", "1", at(1)), label("a", "0", at(2), place="THERE")])
    record = truth.join(segments=("place",))
    assert record.rows == counts(predictions=3, labelled=1, unlabelled=2, corrected=1)
    row = truth.row("a")
    assert (row["outcome"], row["known_at"], row["labels_replaced"], row["place"]) == ("0", at(2), 1, "THERE")
    assert json.loads(row["labels"]) == [["1", "2013-12-03T12:00:00.000000Z"], ["0", "2013-12-04T12:00:00.000000Z"]]


@pytest.mark.parametrize("known", [at(1), None], ids=["at the same time", "without a time"])
def test_labels_that_disagree_are_both_kept_and_no_figure_uses_them(truth: Truth, known: Any) -> None:
    truth.arrive(
        [label("a", "1", at(hour=13)), label("a", "0") | {"came_at": known}, label("a", "1") | {"came_at": known}]
    )
    record = truth.join()
    assert record.rows == counts(predictions=3, unlabelled=2, conflicting=1)
    row = truth.row("a")
    assert (row["status"], row["outcome"], row["labels_received"]) == ("conflicting", None, 3)
    assert {outcome for outcome, _ in json.loads(row["labels"])} == {"0", "1"}
    assert record.performance == ()
    truth.arrive([label("a", "0", at(3))])
    # A label without a time still disagrees with whatever comes later.
    assert truth.join().rows["conflicting"] == (known is None)


@pytest.mark.parametrize(("hour", "found"), [(11, "early"), (12, "early"), (12.001, "labelled")])
def test_a_label_known_before_the_prediction_could_be_made_is_kept_out(truth: Truth, hour: float, found: str) -> None:
    truth.arrive([label("a", "1", at(hour=hour))])
    record = truth.join()
    assert status(truth) == {"a": (found, "1")}
    assert record.rows["early"] == (found == "early")
    assert len(record.performance) == (0 if found == "early" else 2)


def test_a_null_is_not_known_yet(truth: Truth) -> None:
    truth.arrive([label("a", None), label("b", "1"), label("b", None, at(5))])
    assert truth.join().rows == counts(predictions=3, labelled=1, unlabelled=2)
    assert status(truth) == {"b": ("labelled", "1")}


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, 0], pa.int8()),
        ([1.0, float("nan"), 0.0], pa.float64()),
        (["1", "0"], pa.large_string()),
        (["1", "0"], pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=["integers", "floats with NaN", "large text", "dictionary"],
)
def test_outcomes_may_be_of_several_types(truth: Truth, values: list[Any], type_: pa.DataType) -> None:
    keys = ["a", "b", "c"] if len(values) == 3 else ["a", "c"]
    truth.arrive([label(key, value) for key, value in zip(keys, values, strict=True)], came=type_)
    truth.join()
    assert status(truth) == {"a": ("labelled", "1"), "c": ("labelled", "0")}


def test_times_in_other_units_and_zones_are_the_same_instants(truth: Truth) -> None:
    other = pa.timestamp("ns", "America/New_York")
    truth.arrive([label("a")], sent_at=other, came_at=other)
    truth.join()
    assert truth.row("a")["known_at"] == at(hour=18)


def test_champion_and_challenger_have_rows_of_their_own(truth: Truth) -> None:
    truth.register("2.0.0")
    truth.predict([prediction("a", 0.3)], version="2.0.0", role="challenger")
    truth.arrive([label("a")])
    assert truth.join().rows == counts(predictions=4, labelled=2, unlabelled=2)
    assert [(row["role"], row["model_version"], row["score"]) for row in truth.rows()] == [
        ("challenger", "2.0.0", 0.3),
        ("champion", "1.0.0", 0.9),
    ]


def test_of_one_prediction_in_two_tables_the_first_made_counts(truth: Truth) -> None:
    truth.predict([prediction("a", 0.9, scored_at=SCORED_AT - HOUR, run_id="earlier")], table="others")
    truth.arrive([label("a")])
    record = truth.join("scores", "others")
    assert (truth.row("a")["run_id"], record.rows["predictions"]) == ("earlier", 3)
    assert [one["table"] for one in record.predictions] == [truth.scored("scores"), truth.scored("others")]


def stream(folder: Path, *messages: Any) -> tuple[Truth, Archive]:
    """Return a folder with the archive of predictions for k0, k1 and k2 and of further messages, and their registry."""
    bundle = chances()
    open_registry(folder / "registry").publish(bundle.manifest, BARE_FILES)
    archive = Archive(folder, bundle)
    archive.topic.write([*handler(bundle).handle([event(i, key=f"k{i}", x=i / 4) for i in range(3)]), *messages])
    archive.archiver().turn()
    return Truth(folder), archive


def stream_label(key: str, outcome: str) -> dict[str, Any]:
    return {"key": key, "at": DAY - 24 * HOUR, "came": outcome, "came_at": at()}


AT = {"at": pa.timestamp("us", "UTC")}


def test_a_streams_archive_is_joined_as_well(tmp_path: Path) -> None:
    truth, archive = stream(tmp_path)
    truth.arrive([stream_label("k0", "no"), stream_label("k2", "yes")], **AT)
    record = truth.join(predictions=(archive.uri,))
    assert record.rows == counts(predictions=3, labelled=2, unlabelled=1)
    (row,) = (row for row in truth.table().to_pyarrow_dataset().to_table().to_pylist() if row["key"] == "k2")
    (archived,) = (row for row in archive.rows() if row["key"] == "k2")
    assert row["ce_id"] == archived["ce_id"]
    assert (row["run_id"], row["work_key"], row["score"], row["outcome"]) == (None, None, 0.5, "yes")
    assert SENT_AT.startswith(str(row["event_date"]))


def test_a_prediction_that_took_the_place_of_another_counts(tmp_path: Path) -> None:
    (first,) = handler(chances()).handle([event(7, key="k7", x=0.25)])
    document = json.loads(first.value or b"")
    document |= {"score": 0.875, "trail": {**document["trail"], "outcome": 1}}
    second = msgspec.structs.replace(first, value=json.dumps(document).encode())
    truth, archive = stream(tmp_path, second, first)
    truth.arrive([stream_label("k7", "yes")], **AT)
    record = truth.join(predictions=(archive.uri,))
    assert record.rows == counts(predictions=4, labelled=1, unlabelled=3)
    (row,) = truth.table().to_pyarrow_dataset().to_table().to_pylist()
    assert row["score"] == 0.875


# --- what is looked at ------------------------------------------------------------------------------------------------


def test_slices_choose_outcomes_and_their_dates(truth: Truth) -> None:
    truth.predict([prediction("d", when=at(1))])
    truth.arrive([label("a")], "came=1")
    truth.arrive([label("b")], "came=2")
    record = truth.join(slices=("came=2",), label="came")
    assert record.rows == counts(predictions=3, labelled=1, unlabelled=2)
    assert (record.outcomes["slices"], record.outcomes["files"]) == (["came=2"], 1)
    record = truth.join(slices=("came=1",))
    assert record.rows == counts(predictions=3, labelled=2, unlabelled=1)
    assert status(truth) == {"a": ("labelled", "1"), "b": ("labelled", "1")}
    assert truth.join().rows == counts(predictions=4, labelled=2, unlabelled=2)


def test_a_segment_may_be_a_partition_of_the_outcomes_and_a_root_one_file(truth: Truth) -> None:
    truth.arrive([{name: value for name, value in label("a").items() if name != "place"}], "place=HERE")
    truth.join(segments=("place",))
    assert truth.row("a")["place"] == "HERE"
    alone = truth.arrive([label("b", "0")], "alone")
    assert truth.join(outcomes=str(alone), segments=("place",)).outcomes["files"] == 1
    assert status(truth) == {"a": ("labelled", "1"), "b": ("labelled", "0")}


def test_labels_stay_known_when_their_file_is_gone(truth: Truth) -> None:
    gone = truth.arrive([label("a", "0", at(1)), label("a", "1", at(2))])
    truth.join(segments=("place",))
    gone.unlink()
    truth.arrive([label("b")])
    record = truth.join(segments=("place",))
    assert status(truth) == {"a": ("labelled", "1"), "b": ("labelled", "1")}
    assert record.rows == counts(predictions=3, labelled=2, unlabelled=1, corrected=1)


def test_rows_of_predictions_that_are_gone_go_with_them(truth: Truth) -> None:
    truth.arrive([label("a")])
    truth.join()
    table = OutputTable(truth.scored())
    table.commit(adds=[], removes=table.live_files(), guard={}, metadata={})
    truth.predict([prediction("z")])
    assert truth.join().rows == counts(predictions=1, unlabelled=1, unmatched=1)
    assert truth.rows() == []


def test_a_segment_that_is_named_later_is_added(truth: Truth) -> None:
    truth.arrive([label("a")])
    truth.join()
    truth.join(segments=("place",))
    assert truth.row("a")["place"] == "HERE"
    with pytest.raises(UsageError, match="does not name"):
        truth.join()


def test_an_entity_can_be_erased_from_the_labelled_table(truth: Truth) -> None:
    truth.arrive([label("a"), label("b")])
    truth.join()
    request = ErasureRequest(key="a", reason="ticket", at=at(), vacuum=True, row_group_rows=1000, options={})
    assert erase(truth.table(), request).rows == 1
    assert erase(OutputTable(truth.scored()), request).rows == 1
    record = truth.join()
    assert record.rows == counts(predictions=2, labelled=1, unlabelled=1, unmatched=1)
    assert status(truth) == {"b": ("labelled", "1")}
    assert truth.join().status == "unchanged"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_an_outcome_that_is_no_class_is_refused_before_anything_is_written(truth: Truth) -> None:
    path = truth.arrive([label("a"), label("b", "late"), label("x", "2")])
    with pytest.raises(SchemaMismatchError) as refused:
        truth.join()
    assert refused.value.expected == "0 or 1"
    assert refused.value.got == "'2', 'late'"
    assert refused.value.where == f"{path}, column 'came'"
    assert not truth.table().exists


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in label("a").items() if key != name}


@pytest.mark.parametrize(
    ("row", "types", "error", "match"),
    [
        (without("came_at"), {}, SchemaMismatchError, "lack a column"),
        (without("place"), {}, SchemaMismatchError, "lack a column"),
        (label("a"), {"came_at": pa.timestamp("us")}, SchemaMismatchError, "'came_at' of the outcomes is no instant"),
        (label("a"), {"sent_at": pa.timestamp("us")}, SchemaMismatchError, "'sent_at' of the outcomes is no instant"),
        (label("a") | {"came": 0.5}, {}, SchemaMismatchError, "do not fit"),
        (label("a") | {"came": [1]}, {}, SchemaMismatchError, "do not fit"),
        (label("a") | {"parcel_id": None}, {"parcel_id": pa.string()}, SchemaMismatchError, "what it belongs to"),
        (label("a") | {"sent_at": None, "came_at": at()}, {}, SchemaMismatchError, "what it belongs to"),
    ],
    ids=[
        "no known_at",
        "no segment",
        "naive known_at",
        "naive event time",
        "half",
        "a list",
        "no key",
        "no event time",
    ],
)
def test_outcomes_that_do_not_fit_are_refused(
    truth: Truth, row: dict[str, Any], types: dict[str, pa.DataType], error: type[ScoretrailError], match: str
) -> None:
    truth.arrive([row], **types)
    with pytest.raises(error, match=match):
        truth.join(segments=("place",))
    assert not truth.table().exists


@pytest.mark.parametrize("name", ["outcome", "parcel_id", "Score"])
def test_a_segment_may_not_be_called_as_a_column_of_the_table(truth: Truth, name: str) -> None:
    truth.arrive([label("a") | {name: "x"}])
    with pytest.raises(OutputTableError, match=f"two columns called '{name.lower()}'"):
        truth.join(segments=(name,))
    assert not truth.table().exists


def test_the_outcome_may_be_a_partition_or_a_segment_as_well(truth: Truth) -> None:
    truth.arrive([{name: value for name, value in label("a").items() if name != "came"}], "came=1")
    truth.arrive(
        [{name: value for name, value in label("b").items() if name != "came"}], "came=__HIVE_DEFAULT_PARTITION__"
    )
    assert truth.join(segments=("came", "came")).rows == counts(predictions=3, labelled=1, unlabelled=2)
    assert truth.row("a")["came"] == "1"


def test_predictions_that_cannot_be_read_are_named(truth: Truth) -> None:
    truth.arrive([label("a")])
    for path in Path(truth.scored()).glob("*.parquet"):
        path.unlink()
    with pytest.raises(StorageError, match="a table cannot be read") as broken:
        truth.join()
    assert broken.value.where == truth.scored()


def test_without_outcomes_there_is_nothing_to_join(truth: Truth) -> None:
    with pytest.raises(InputError, match="cannot be listed"):
        truth.join()
    truth.outcomes.mkdir()
    with pytest.raises(InputError, match="there are no outcomes"):
        truth.join()
    (truth.outcomes / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="no readable Parquet file"):
        truth.join()


def test_outcomes_that_change_while_they_are_read_are_not_published(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = truth.arrive([label("a")])
    replace = LabelStore.replace

    def late(self: LabelStore, *arguments: Any) -> None:
        replace(self, *arguments)
        pq.write_table(pq.read_table(path).slice(0, 0), path)

    monkeypatch.setattr(LabelStore, "replace", late)
    with pytest.raises(InputChangedError):
        truth.join()
    assert truth.rows() == []


def test_tables_without_predictions_are_refused(truth: Truth) -> None:
    truth.arrive([label("a")])
    with pytest.raises(OutputTableError, match="no predictions here"):
        truth.join("none")
    truth.join()
    with pytest.raises(OutputTableError, match="no table of predictions") as refused:
        truth.join("scores", "labelled", output=str(truth.folder / "again"))
    assert refused.value.got == "a labelled table"


def test_a_table_that_was_joined_must_be_named_again(truth: Truth) -> None:
    truth.predict([prediction("z")], table="others")
    truth.arrive([label("a"), label("z")])
    truth.join("others")
    with pytest.raises(UsageError, match="does not name") as refused:
        truth.join("scores")
    assert refused.value.got == truth.scored("others")
    assert truth.join("scores", "others").rows["labelled"] == 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"output": Output(task="binary", name="p", form="matrix", classes=("no", "yes"))}, "different classes"),
        ({"output": Output(task="regression", name="p", form="matrix"), "threshold": None}, "binary classifiers only"),
    ],
    ids=["other classes", "a regressor"],
)
def test_models_that_cannot_share_outcomes_are_refused(truth: Truth, changes: dict[str, Any], match: str) -> None:
    truth.register("3.0.0", **changes)
    truth.predict([prediction("a")], version="3.0.0", role="challenger", table="others")
    truth.arrive([label("a")])
    with pytest.raises(BundleError, match=match):
        truth.join("scores", "others")


def test_a_bundle_that_is_another_one_in_the_registry_is_refused(truth: Truth) -> None:
    truth.manifests["1.0.0"] = truth.manifests["1.0.0"].model_copy(update={"block": 7})
    truth.predict([prediction("q")])
    truth.arrive([label("a")])
    with pytest.raises(BundleError, match="has another bundle as parcel"):
        truth.join()


# --- two at once ------------------------------------------------------------------------------------------------------


def test_of_two_joins_that_write_one_date_one_wins(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    truth.arrive([label("a")])
    truth.join()
    truth.arrive([label("b")])
    commit, raced = LabelStore.commit, list[str]()

    def late(self: LabelStore, *arguments: Any) -> bool:
        if not raced:
            raced.append("the other one")
            truth.arrive([label("c")])
            assert truth.join().status == "published"
        return commit(self, *arguments)

    monkeypatch.setattr(LabelStore, "commit", late)
    with pytest.raises(ConflictError) as refused:
        truth.join()
    assert int(refused.value.exit_code) == 75
    assert set(status(truth)) == {"a", "b", "c"}
    assert len(JoinStore(truth.output).join_ids()) == 2
    assert truth.join().status == "unchanged"


def test_joins_of_different_dates_both_win(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    truth.predict([prediction("d", when=at(1))])
    truth.arrive([label("a")], "on=1")
    truth.arrive([label("d", sent_at=at(1))], "on=2")
    commit, raced = LabelStore.commit, list[str]()

    def late(self: LabelStore, *arguments: Any) -> bool:
        if not raced:
            raced.append("the other one")
            assert truth.join(slices=("on=2",)).status == "published"
        return commit(self, *arguments)

    monkeypatch.setattr(LabelStore, "commit", late)
    assert truth.join(slices=("on=1",)).status == "published"
    assert set(status(truth)) == {"a", "d"}


def test_two_joins_at_the_same_moment_leave_every_row_once(truth: Truth) -> None:
    truth.arrive([label(key) for key in "abc"])
    with ThreadPoolExecutor(2) as pool:
        attempts = [pool.submit(truth.join) for _ in range(2)]
        errors = [attempt.exception() for attempt in attempts]
    assert all(error is None or isinstance(error, ConflictError) for error in errors), errors
    assert [row["parcel_id"] for row in truth.rows()] == ["a", "b", "c"]
    assert truth.join().status == "unchanged"


def test_prometheus_is_told(truth: Truth, tmp_path: Path) -> None:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    truth.arrive([label("a"), label("b", "0", at(hour=13))])
    truth.joining(settings={"metrics.textfile_folder": str(folder)}).run()
    (file,) = folder.iterdir()
    text = file.read_text(encoding="utf-8")
    assert 'owner="' in text
    assert "scoretrail_labels_last_join_timestamp_seconds{" in text
    assert str(truth.table().uri) in text
