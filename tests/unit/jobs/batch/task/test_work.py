"""One piece of work, scored in this process as a Spark worker would."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.batch.audit.reproduce import reproduce
from jobs.batch.input.listing import input_root, list_files
from jobs.batch.input.probe import probe_file
from jobs.batch.plan.plan import Method, Work, make_work
from jobs.batch.task import work as module
from jobs.batch.task.work import WorkContext, score_work, score_works
from jobs.progress import SilentProgress
from scoretrail import digest
from scoretrail.errors import (
    InputChangedError,
    PlatformError,
    PredicateError,
    SchemaMismatchError,
    ScoretrailError,
    StorageError,
    UsageError,
)
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.model.manifest import GOLDEN, MANIFEST, parse
from scoretrail.storage import filesystem
from scoretrail.trail.run import WorkMessage
from tests.factory.registered import PROOF_ROWS, open_registry, register_example
from tests.factory.trip import HOUR_US, START_US, trip_records, trips_example
from tests.factory.workshop import InlineEngine, Workshop, records, with_values

SCOPE_WORK = {"model": "parcel", "role": "champion"}


def pieces(shop: Workshop, where: str | None = None, split_bytes: int = 2**20) -> list[Work]:
    root = input_root(str(shop.input))
    place, base = filesystem(root.uri)
    files = [(file, probe_file(place, f"{base}/{file.path}", split_bytes)) for file in list_files(root, (), {})]
    return list(make_work(root, files, Method("d" * 64, where, ()), **SCOPE_WORK))


def context(shop: Workshop, **changes: object) -> WorkContext:
    values: dict[str, object] = {
        "run_id": "r1",
        "scored_at": "2013-12-05T06:00:00.000000Z",
        "role": "champion",
        "bits": "exact",
        "root": str(shop.input),
        "table": shop.output,
        "rejects": f"{shop.output}_rejects",
        "where": None,
        "partition_by": (),
        "options": {},
        "batch_rows": 64,
        "row_group_rows": 1000,
        "split_bytes": 2**20,
    }
    return WorkContext(**(values | changes))  # type: ignore[arg-type]


def score(shop: Workshop, work: Work, **changes: object) -> WorkMessage:
    return score_work(work, context(shop, **changes), shop.bundle().files)


def files_below(*folders: str) -> list[Path]:
    return [path for folder in folders for path in Path(folder).rglob("*.parquet")]


def test_a_message_says_what_was_done(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0, 70: None}, 100))
    [work] = pieces(shop, "n_items > 2")
    message = score(shop, work, where="n_items > 2", partition_by=(("ds", pa.string()),))
    table = with_values("weight_kg", {3: -1.0, 70: None}, 100)
    kept = [items > 2 for items in table["n_items"].to_pylist()]
    refused = [row for row in (3, 70) if kept[row]]
    assert (message.rows_in, message.rows_filtered) == (100, 100 - sum(kept))
    assert (message.rows_scored, message.rows_rejected) == (sum(kept) - len(refused), len(refused))
    assert sum(message.reasons.values()) == len(refused)
    assert (message.work_key, message.scope, message.source_path) == (work.key, work.scope, "ds=1/a.parquet")
    assert (message.data_sha256, message.row_groups, message.repeats_bits) == (work.data_sha256, None, True)
    [output] = message.predictions
    data = (Path(shop.output) / output.path).read_bytes()
    assert (output.sha256, output.size_bytes, output.rows) == (
        hashlib.sha256(data).hexdigest(),
        len(data),
        message.rows_scored,
    )
    assert output.partition == {"ds": "1"}
    assert shop.store().message("r1", work.key) == message


def test_a_second_attempt_gets_the_message_of_the_first_and_leaves_no_files(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("weight_kg", {3: -1.0}, 50))
    [work] = pieces(shop)
    first = score(shop, work)
    assert score(shop, work) == first
    assert {str(path.relative_to(shop.output)) for path in files_below(shop.output)} == {first.predictions[0].path}
    assert len(files_below(f"{shop.output}_rejects")) == 1


def test_ranges_state_their_row_groups(shop: Workshop) -> None:
    shop.write("a.parquet", records(400), row_group_size=100)
    works = pieces(shop, split_bytes=4000)
    assert len(works) > 1
    messages = [score(shop, work, split_bytes=4000) for work in works]
    assert [message.row_groups for message in messages] == [
        (one.range.first, one.range.stop) for one in works if one.range
    ]
    found = [pq.read_table(Path(shop.output) / one.predictions[0].path) for one in messages]
    assert pa.concat_tables(found)["source_row"].to_pylist() == list(range(400))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"where": "n_itms > 2"}, PredicateError, "n_itms"),
        ({"partition_by": (("carier", pa.string()),)}, UsageError, "names a column that is not there: carier"),
        ({"partition_by": (("carrier", pa.int64()),)}, SchemaMismatchError, "different types in the input"),
        ({"partition_by": (("weight_kg", pa.float32()),)}, UsageError, "cannot be partitioned by 'weight_kg'"),
    ],
)
def test_a_file_that_does_not_serve_the_run_is_refused_and_leaves_nothing(
    shop: Workshop, changes: dict[str, object], error: type[ScoretrailError], message: str
) -> None:
    shop.write("a.parquet", records(10))
    [work] = pieces(shop)
    with pytest.raises(error, match=message) as caught:
        score(shop, work, **changes)
    assert str(caught.value.where).endswith("a.parquet")
    assert files_below(shop.output) == []
    assert shop.store().message("r1", work.key) is None


@pytest.mark.parametrize(
    "failure", [StorageError("the disk is full", where="/there"), KeyboardInterrupt(), MemoryError()]
)
def test_an_attempt_that_fails_late_leaves_nothing(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    shop.write("a.parquet", with_values("weight_kg", {3: -1.0}, 500))
    [work] = pieces(shop)

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(module._Outputs, "close", fail)
    with pytest.raises(type(failure)) as caught:
        score(shop, work, row_group_rows=64)
    if isinstance(failure, StorageError):
        assert caught.value.where == "/there"  # type: ignore[attr-defined]
    assert files_below(shop.output, f"{shop.output}_rejects") == []


def test_errors_that_no_other_try_mends_are_handed_over(shop: Workshop) -> None:
    shop.write("a.parquet", records(10))
    shop.write("b.parquet", records(10, 10, weight_kg=None))
    shop.write("c.parquet", records(10, 20))
    works = pieces(shop)
    done: Iterator[WorkMessage | ScoretrailError] = score_works(iter(works), (context(shop), shop.bundle().files))
    found = list(done)
    assert [type(one) for one in found] == [WorkMessage, SchemaMismatchError]  # and no word of the third
    changed = replace(works[0], data_sha256="0" * 64)
    [error] = score_works(iter([changed]), (context(shop), shop.bundle().files))
    assert isinstance(error, InputChangedError)  # the same command may succeed; the same task will not


def test_errors_that_another_try_may_mend_are_raised_for_spark_to_try_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("a.parquet", records(10))

    def fail(*_: object) -> None:
        raise StorageError("the network is away")

    monkeypatch.setattr(module, "score_work", fail)
    with pytest.raises(StorageError):
        list(score_works(iter(pieces(shop)), (context(shop), shop.bundle().files)))


def test_a_bundle_that_does_not_repeat_its_bits_here_is_told_where_that_is_allowed(shop: Workshop) -> None:
    shop.write("a.parquet", records(10))
    [work] = pieces(shop)
    files = {name: data for name, data in shop.bundle().files.items() if name != "SHA256SUMS"}
    golden = pq.read_table(pa.BufferReader(files[GOLDEN]))
    at = golden.schema.get_field_index("golden_score_1")
    sink = pa.BufferOutputStream()
    pq.write_table(
        golden.set_column(at, "golden_score_1", pa.array([0.5] * golden.num_rows, golden.field(at).type)), sink
    )
    files[GOLDEN] = sink.getvalue().to_pybytes()
    manifest = parse(files[MANIFEST])
    hashes = {**manifest.files, GOLDEN: digest.of_bytes(files[GOLDEN])}
    files[MANIFEST] = manifest.model_copy(update={"files": hashes}).to_bytes()
    with pytest.raises(PlatformError):
        score_work(work, context(shop), files)
    assert not score_work(work, context(shop, bits="platform"), files).repeats_bits


def test_stored_features_are_read_judged_and_told_of_in_the_table(tmp_path: Path) -> None:
    register_example(trips_example(), tmp_path / "registry", records=trip_records(PROOF_ROWS))
    shop = Workshop(tmp_path / "shop", tmp_path / "registry", InlineEngine())  # type: ignore[arg-type]
    missing = pa.array([START_US, None, START_US + 2 * HOUR_US, START_US], TIMESTAMP)
    stored = trip_records(4, weather__event_time=missing, wind=pa.array([1, 2, 3, 4], pa.float32()))
    shop.write("ds=1/a.parquet", stored.append_column("not_read", pa.array([1, 2, 3, 4])))

    run = shop.score("models:/trips@champion", settings={"batch.max_reject_ratio": 1.0})

    assert (run.rows["scored"], run.rows["rejected"]) == (3, 1)
    rows = shop.rows()
    assert rows.column_names[-4:] == ["weather_age_s", "weather_outcome", "vehicle_age_s", "vehicle_outcome"]
    assert rows.select(["trip_id", "weather_outcome", "weather_age_s"]).to_pylist() == [
        {"trip_id": "t0", "weather_outcome": "fresh", "weather_age_s": 0},
        {"trip_id": "t2", "weather_outcome": "fresh", "weather_age_s": 0},
        {"trip_id": "t3", "weather_outcome": "fresh", "weather_age_s": 3 * 3600},
    ]
    assert shop.rejects()["reasons"].to_pylist() == ["score_not_finite:score"]
    registry, settings = open_registry(tmp_path / "registry"), shop.resolved().settings
    again = reproduce(shop.table(), run.run_id, registry, settings, SilentProgress())
    assert (again.equal, again.different) == (4, 0)
