"""Records of runs, in memory: they are read as they were written, and the first of two stands."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from scoretrail.digest import canonical_json
from scoretrail.errors import ObjectExistsError, TrailError, UsageError
from scoretrail.storage import Storage
from scoretrail.trail.run import (
    Hold,
    Intent,
    OutputFile,
    RunStore,
    ScoringRun,
    WorkMessage,
    check_run_id,
    messages_digest,
)

OUTPUT = OutputFile("ds=1/part.parquet", 100, "a" * 64, 9, {"ds": "1"}, '{"numRecords":9}')
MESSAGE = WorkMessage(
    work_key="k" * 64,
    scope="0" * 12,
    source_path="ds=1/a.parquet",
    data_sha256="d" * 64,
    row_groups=(0, 2),
    rows_in=12,
    rows_filtered=2,
    rows_scored=9,
    rows_rejected=1,
    reasons={"out_of_range": 1},
    predictions=(OUTPUT,),
    rejects=(replace(OUTPUT, rows=1),),
    repeats_bits=True,
    host="here",
    attempt="deadbeef",
    seconds=0.5,
)
INTENT = Intent(
    "r1", "p" * 64, "2013-12-05T06:00:00.000000Z", "score", "models:/m/1.0.0", "/m", "b" * 64, "champion", "/d", None
)


EMPTY = ("settings", "model", "input", "output", "reasons", "files", "scopes", "code", "environment", "seconds")


def run(**changes: Any) -> ScoringRun:
    values: dict[str, Any] = {
        "run_id": "r1",
        "status": "published",
        "command": "score",
        "started_at": "2013-12-05T06:00:00.000000Z",
        "finished_at": "2013-12-05T06:00:01.000000Z",
        "plan_sha256": "p" * 64,
        "settings_sha256": "s" * 64,
        "rows_per_s": 10.0,
        "work": ("k" * 64,),
        "rows": {"in": 1},
        **{name: {} for name in EMPTY},
    }
    return ScoringRun(**(values | changes))


@pytest.fixture
def storage() -> Storage:
    return Storage("memory://")


@pytest.fixture
def store(storage: Storage) -> RunStore:
    return RunStore(storage)


def test_records_are_read_as_they_were_written() -> None:
    assert WorkMessage.from_bytes(MESSAGE.to_bytes()) == MESSAGE
    whole = replace(MESSAGE, row_groups=None, rejects=())
    assert WorkMessage.from_bytes(whole.to_bytes()) == whole
    assert ScoringRun.from_bytes(run().to_bytes()) == run()
    hold = Hold(run(status="held"), ("a", "b"), ("c",))
    assert Hold.from_bytes(hold.to_bytes()) == hold


def test_records_are_canonical_json() -> None:
    assert MESSAGE.to_bytes() == canonical_json(asdict(MESSAGE))


def test_the_first_intent_of_an_id_stands(store: RunStore) -> None:
    assert not store.has("r1")
    assert store.begin(INTENT) == INTENT
    assert store.begin(replace(INTENT, scored_at="2014-01-01T00:00:00.000000Z")) == INTENT
    assert store.has("r1")
    assert store.intent("r1") == INTENT


def test_a_run_that_is_not_there_is_told_with_the_nearest(store: RunStore) -> None:
    with pytest.raises(TrailError, match="there is no run 'r1'") as caught:
        store.intent("r1")
    assert caught.value.fix == "`scoretrail runs list` shows the runs of a table"
    store.begin(replace(INTENT, run_id="20131205T060000-ab"))
    with pytest.raises(TrailError) as caught:
        store.intent("20131205T060000-ac")
    assert caught.value.fix == "did you mean 20131205T060000-ab?"


def test_what_lies_beside_the_runs_is_no_run(store: RunStore, storage: Storage) -> None:
    store.begin(INTENT)
    for name in ("cache", "ledger", "scopes", "vacuum"):
        storage.put(f"{name}/x.json", b"{}")
    assert store.run_ids() == ["r1"]


def test_the_status_follows_the_records(store: RunStore) -> None:
    store.begin(INTENT)
    assert (store.status("r1"), store.find("r1"), store.held("r1")) == ("unfinished", None, None)
    hold = Hold(run(status="held"), (), ())
    store.hold(hold)
    store.hold(Hold(run(status="held"), ("another",), ()))
    assert (store.status("r1"), store.held("r1")) == ("held", hold)
    store.finish(run())
    store.finish(run(status="refused"))
    assert (store.status("r1"), store.find("r1")) == ("published", run())


def test_the_first_message_of_a_piece_of_work_stands(store: RunStore) -> None:
    assert store.message("r1", MESSAGE.work_key) is None
    assert store.claim("r1", MESSAGE) == MESSAGE
    assert store.claim("r1", replace(MESSAGE, attempt="00000000")) == MESSAGE
    other = replace(MESSAGE, work_key="l" * 64)
    store.claim("r1", other)
    store.claim("r2", replace(MESSAGE, attempt="11111111"))
    assert store.work_keys("r1") == {"k" * 64, "l" * 64}
    assert store.messages("r1", ["l" * 64, "m" * 64, "k" * 64]) == [other, MESSAGE]


def test_attempts_are_counted_each_once(store: RunStore) -> None:
    assert [store.note_attempt("r1", name) for name in ("a", "b", "a")] == [1, 2, 2]


def test_the_newest_unfinished_run_of_a_plan_is_found(store: RunStore) -> None:
    for run_id in ("1", "2", "3", "4"):
        store.begin(replace(INTENT, run_id=run_id))
    store.begin(replace(INTENT, run_id="5", plan_sha256="q" * 64))
    store.finish(run(run_id="4"))
    store.hold(Hold(run(run_id="3", status="held"), (), ()))
    found = store.unfinished("p" * 64)
    assert found is not None
    assert found.run_id == "2"
    assert store.unfinished("x" * 64) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"{}", b'{"run_id":1}', b"\xff", b"null"])
def test_a_damaged_record_is_told_by_name(store: RunStore, storage: Storage, data: bytes) -> None:
    for name, read in (
        ("intent.json", store.intent),
        ("run.json", store.find),
        ("held.json", store.held),
        (f"work/{'k' * 64}.json", lambda run_id: store.message(run_id, "k" * 64)),
    ):
        storage.put(f"r1/{name}", data)
        with pytest.raises(TrailError, match="cannot be read") as caught:
            read("r1")
        assert str(caught.value.where).endswith(f"r1/{name}")


def test_a_damaged_intent_keeps_no_other_run_from_its_work(store: RunStore, storage: Storage) -> None:
    store.begin(replace(INTENT, run_id="1"))
    storage.put("2/intent.json", b"{")
    storage.put("3/attempts/a.json", b"{}")
    found = store.unfinished("p" * 64)
    assert found is not None
    assert found.run_id == "1"


def test_the_digest_of_messages_does_not_depend_on_their_order() -> None:
    other = replace(MESSAGE, work_key="l" * 64)
    assert messages_digest([MESSAGE, other]) == messages_digest([other, MESSAGE])
    assert messages_digest([MESSAGE, other]) != messages_digest([MESSAGE])
    assert messages_digest([MESSAGE]) != messages_digest([replace(MESSAGE, rows_scored=8)])


@pytest.mark.parametrize("text", ["r1", "manual__2013-12-02T00:00:00+00:00", "A.b-c_d:e@f=g", "0" * 200])
def test_ids_that_will_do(text: str) -> None:
    assert check_run_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "-x", "a/b", "a\\b", "a b", "ä", "0" * 201, "cache", "vacuum"])
def test_ids_that_will_not(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be a run's id"):
        check_run_id(text)


def test_the_store_says_where_it_lies(tmp_path: Path) -> None:
    assert RunStore(Storage(str(tmp_path))).uri == str(tmp_path)


def test_an_exclusive_create_is_what_makes_the_first_stand(storage: Storage, store: RunStore) -> None:
    """The control: without it the second would overwrite."""
    store.claim("r1", MESSAGE)
    with pytest.raises(ObjectExistsError):
        storage.put_new(f"r1/work/{MESSAGE.work_key}.json", b"")
