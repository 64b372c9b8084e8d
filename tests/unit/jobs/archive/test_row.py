from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from jobs.archive.columns import EVENT_DATE, ROW_SHA256, archive_columns
from jobs.archive.row import RowMaker, row_digests
from jobs.stream.record import Message, Record
from scoretrail import digest
from scoretrail.errors import OutputTableError
from scoretrail.model.bundle import Bundle
from scoretrail.trail.prediction import prediction_columns
from tests.factory.streamed import NOW, chances, event, handler, header, three, value_of, winds, windy


def as_record(message: Message, offset: int = 5) -> Record:
    return Record("predictions", 1, offset, 0, message.key, message.value, message.headers)


def made(bundle: Bundle, message: Message) -> dict[str, Any]:
    decoded = RowMaker(bundle.manifest).decode([as_record(message)])
    assert decoded.passed_over == []
    (row,) = decoded.rows.to_pylist()
    return dict(row)


def test_a_row_says_what_the_message_says() -> None:
    bundle = chances()
    (message,) = handler(bundle).handle([event(7, x=0.3)])
    row, value = made(bundle, message), value_of(message)

    trail = value["trail"]
    assert (row["key"], row["at"]) == ("k7", datetime(2013, 12, 1, tzinfo=UTC))
    assert row[EVENT_DATE] == date(2013, 12, 1)
    assert row["score"].hex() == value["score"].hex()
    assert {name: row[name] for name in ("label", "decision", "guard")} == {
        name: value[name] for name in ("label", "decision", "guard")
    }
    assert row["scored_at"] == NOW.now()
    assert row["inputs"] == base64.b64decode(value["inputs"])
    assert row["ce_id"] == header(message, "ce_id")
    for name in ("bundle_sha256", "model_sha256", "event_sha256", "features_sha256", "outcome", "role", "score_digest"):
        assert row[name] == trail[name]
    assert (row["model_name"], row["model_version"]) == (trail["model"], trail["version"])
    source = {name: row[f"source_{name}"] for name in ("cluster", "topic", "partition", "offset")}
    assert source == trail["source"]
    assert (row["prediction_partition"], row["prediction_offset"]) == (1, 5)


def test_columns_that_mean_the_same_are_those_of_a_scored_table() -> None:
    bundle = windy()
    scored = {column.name: column.type for column in prediction_columns(bundle.manifest)}
    archived = {column.name: column.type for column in archive_columns(bundle.manifest)}

    assert scored.keys() - archived.keys() == {"data_sha256", "source_path", "source_row", "work_key", "run_id"}
    assert all(archived[name] == type_ for name, type_ in scored.items() if name in archived)
    assert all(column.comment for column in archive_columns(bundle.manifest))


def test_classes_and_stored_sets_have_their_columns() -> None:
    several, windy_ = three(), windy()
    (message,) = handler(several).handle([event(x=0.25)])
    row = made(several, message)
    assert (row["score_a"], row["score_b"], row["score_c"], row["label"]) == (0.25, 0.5, 0.0, "b")
    (message,) = handler(windy_, winds(windy_, HERE=2.5)).handle([event(place="here")])
    row = made(windy_, message)
    assert (row["weather_age_s"], row["weather_outcome"]) == (3600, "fresh")


def test_what_is_no_prediction_or_another_models_is_passed_over() -> None:
    bundle = chances()
    (good, other) = handler(bundle).handle([event(1), event(2)])
    value = value_of(other)
    value["trail"]["model"] = "other"
    foreign = [
        b"{",
        b"",
        b"[]",
        b"\xff",
        json.dumps(value).encode(),
        json.dumps(value_of(good) | {"inputs": "!"}).encode(),
    ]
    records = [as_record(Message("predictions", None, one), i) for i, one in enumerate(foreign)]

    decoded = RowMaker(bundle.manifest).decode([*records, as_record(good, 9)])
    assert [record.offset for record in decoded.passed_over] == [0, 1, 2, 3, 4, 5]
    assert decoded.rows.column("prediction_offset").to_pylist() == [9]
    assert RowMaker(bundle.manifest).decode([]).rows.num_rows == 0


@pytest.mark.parametrize(
    "changes",
    [{"stored": {"weather": {"age_s": 1, "outcome": "fresh"}}}, {"class_scores": {"a": 1.0}}, {"entity_key": 5}],
)
def test_a_prediction_of_another_contract_stops_the_archive_rather_than_lose_a_part(changes: dict[str, Any]) -> None:
    bundle = chances()
    (message,) = handler(bundle).handle([event(1)])
    value = json.dumps(value_of(message) | changes).encode()

    with pytest.raises(OutputTableError, match="other classes, stored sets or keys") as caught:
        RowMaker(bundle.manifest).decode([as_record(Message("predictions", None, value))])
    assert caught.value.where == "predictions/1 from offset 5"


def test_every_column_counts_in_the_rows_digest() -> None:
    bundle = windy()
    (message,) = handler(bundle, winds(bundle, HERE=2.5)).handle([event(place="here")])
    batch = RowMaker(bundle.manifest).decode([as_record(message)]).rows
    (right,) = batch.column(ROW_SHA256).to_pylist()

    assert row_digests(batch) == [right]
    seen = {right}
    for name in set(batch.schema.names) - {EVENT_DATE, ROW_SHA256}:
        at = batch.schema.get_field_index(name)
        nothing = batch.set_column(at, name, pa.nulls(1, batch.schema.field(at).type))
        was_null = batch.column(at).null_count == 1
        assert (row_digests(nothing) == [right]) is was_null, name
        seen |= set(row_digests(nothing))
    assert len(seen) == sum(column.null_count == 0 for column in batch.columns) - 2 + 1


def test_a_digest_is_that_of_canonical_json() -> None:
    batch = pa.record_batch({"b": ['é"'], "a": [-0.0], "n": pa.array([None], pa.int64()), "x": [b"\x01"], "t": [True]})

    assert row_digests(batch) == [digest.of_json({"a": -0.0, "b": 'é"', "t": True, "x": "01"})]
