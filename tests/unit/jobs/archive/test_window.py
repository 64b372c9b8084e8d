"""Windows of the stream: counted with each commit, copied once, revised by late rows, and judged day by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.archive.counting import WindowCounter
from jobs.archive.reporting import SpanReport
from jobs.archive.window import WINDOWS, from_text, merged, to_text
from jobs.archive.window_table import WindowTable
from scoretrail.config import Settings
from scoretrail.errors import BundleError, ConflictError, OutputTableError, TrailError
from scoretrail.monitor.tally import added
from tests.factory.watched import DAY_US, HOUR_US, START_US, by_name, counted, readings, reference
from tests.factory.windowed import RETENTION_DAYS, SETTINGS, Windowed, publish

MONDAY = datetime(2013, 12, 2, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC))
BEGINS = reference().day_begins


@pytest.fixture
def stage(tmp_path: Path) -> Windowed:
    return Windowed(tmp_path)


def days(number: int, per_day: int = 200, first: int = 0, **columns: object) -> pa.Table:
    return readings(number * per_day, 3 + first, days=number, start_us=START_US + first * DAY_US, **columns)


def test_windows_are_what_the_archived_rows_are(stage: Windowed) -> None:
    records = days(2)
    stage.score(records)
    stage.windows.copy(RETENTION_DAYS)
    found = stage.windows.read(*ALWAYS)
    assert sum(one.rows for one in found) == sum(one.counted for one in found) == 400
    assert {one.revision for one in found} == {1}
    hours = np.unique(records["at"].cast(pa.int64()).to_numpy() // HOUR_US)
    assert [one.key.start for one in found] == [MONDAY + (int(hour) - START_US // HOUR_US) * DAY / 24 for hour in hours]
    total = added(one.tally for one in found if one.tally is not None)
    assert total is not None
    in_batch = counted(reference(), records)
    stream, batch = by_name(total, reference()), by_name(in_batch, reference())
    for name in ("half", "score", "confidence", "label", "decision"):
        assert stream[name] == batch[name], name
    assert (total.first_us, total.last_us) == (in_batch.first_us, in_batch.last_us)
    assert {name: counts.rows for name, counts in stream.items() if not counts.rows}.keys() == {
        "x",
        "amount",
        "n",
        "word",
        "flag",
    }


def test_however_rows_are_committed_the_counts_are_the_same(tmp_path: Path) -> None:
    records = days(1, 120)
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one, many = Windowed(tmp_path / "one"), Windowed(tmp_path / "many")
    one.score(records)
    for part in (records.slice(60), records.slice(0, 10), records.slice(10, 50)):
        many.score(part)
        many.windows.copy(RETENTION_DAYS)
    one.windows.copy(RETENTION_DAYS)
    assert [(w.key, w.rows, w.tally) for w in one.windows.read(*ALWAYS)] == [
        (w.key, w.rows, w.tally) for w in many.windows.read(*ALWAYS)
    ]


def test_copied_once_and_late_rows_add_a_revision(stage: Windowed) -> None:
    stage.score(days(1, 60))
    first = stage.windows.copy(RETENTION_DAYS)
    version = stage.windows.table.version
    assert stage.windows.copy(RETENTION_DAYS) == []
    assert stage.windows.table.version == version
    stage.score(days(1, 1, key=pa.array(["late"])))
    (late,) = stage.windows.copy(RETENTION_DAYS)
    before = next(one for one in first if one.key == late.key)
    assert (late.revision, late.rows) == (2, before.rows + 1)
    newest = stage.windows.read(*ALWAYS)
    assert sum(one.rows for one in newest) == 61
    assert [one.revision for one in newest if one.key == late.key] == [2]


def test_what_was_committed_and_not_copied_is_copied_later(stage: Windowed) -> None:
    stage.score(days(1, 30))
    stage.score(days(1, 30, 1))
    assert stage.windows.table.version is None
    stage.windows.copy(RETENTION_DAYS)
    assert sum(one.rows for one in stage.windows.read(*ALWAYS)) == 60


def test_of_two_copies_at_once_one_wins(stage: Windowed, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.score(days(1, 30))
    stage.windows.copy(RETENTION_DAYS)
    stage.score(days(1, 30, 1))
    slow = stage.windows
    write = WindowTable._write

    def overtaken(table: WindowTable, *asked: object) -> object:
        if table is slow:
            stage.windows.copy(RETENTION_DAYS)
        return write(table, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(WindowTable, "_write", overtaken)
    with pytest.raises(ConflictError):
        slow.copy(RETENTION_DAYS)
    assert sum(one.rows for one in stage.windows.read(*ALWAYS)) == 60


def test_a_merged_archive_counts_nothing_again(stage: Windowed) -> None:
    for i in range(3):
        stage.score(days(1, 30, i))
    stage.windows.copy(RETENTION_DAYS)
    stage.archive.store().compact()
    assert stage.windows.copy(RETENTION_DAYS) == []
    removed, _ = stage.windows.compact(2**20)
    assert removed == 0  # one file a day
    stage.score(days(1, 30, 0))
    stage.windows.copy(RETENTION_DAYS)
    assert stage.windows.compact(2**20) == (2, 1)
    assert sum(one.rows for one in stage.windows.read(*ALWAYS)) == 120


def test_a_text_of_windows_says_all(stage: Windowed) -> None:
    stage.score(days(1, 30))
    (commit,) = (one for one in stage.archive.table().history() if WINDOWS in one)
    parts = from_text(commit[WINDOWS])
    assert from_text(to_text(parts)) == parts == merged(parts)


def test_days_that_are_over_are_judged(stage: Windowed) -> None:
    stage.score(days(3))
    found = stage.judged()
    starts = [one.span.start for one in found]
    assert len(starts) == 2, "the third day is not over"
    assert all(start.hour == BEGINS for start in starts)
    assert starts[1] - starts[0] == DAY
    assert {one.verdict.level for one in found} == {"ok"}
    assert [one["span"]["start"] for one in stage.verdicts] == [f"{start:%Y-%m-%dT%H:%M:%S.%fZ}" for start in starts]
    assert stage.judged() == []


def test_a_day_that_drifts_is_confirmed_by_the_next(stage: Windowed) -> None:
    shifted = pa.array(np.random.default_rng(5).normal(1.5, 1, 600), pa.float32())
    stage.score(days(3, x=shifted))
    one, other = stage.judged()
    assert (one.verdict.level, other.verdict.level) == ("drift", "drift")
    assert "half" in {column.name for column in one.verdict.raised}
    assert one.verdict.confirmed == ()
    assert "half" in other.verdict.confirmed
    assert other.verdict.before == f"{one.span.start:%Y-%m-%dT%H}..{one.span.end:%Y-%m-%dT%H}"


def test_a_day_is_judged_again_when_rows_come_late_and_not_otherwise(stage: Windowed) -> None:
    stage.score(days(2))
    (before,) = stage.judged()
    stage.score(days(1, 20, 2))
    assert [one.span.start for one in stage.judged()] == [before.span.start + DAY]
    stage.score(days(1, 10))
    again = stage.judged()
    assert (again[0].span, again[0].verdict.rows) == (before.span, before.verdict.rows + 10)


def test_a_day_after_a_gap_is_judged_all_the_same(stage: Windowed) -> None:
    stage.score(days(1))
    assert stage.judged() == []
    stage.score(days(1, first=9))
    (found,) = stage.judged()
    assert found.span.start.date() in {MONDAY.date(), (MONDAY - DAY).date()}


def test_rows_of_a_bundle_that_nobody_can_find_are_archived_and_said(
    tmp_path: Path, stage: Windowed, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    stranger = publish(Windowed(tmp_path / "other").registry, "9.9.9")
    stage.score(days(1, 50))
    stage.score(days(1, 30), stranger)
    assert "window_uncounted" in capsys.readouterr().err
    stage.windows.copy(RETENTION_DAYS)
    found = stage.windows.read(*ALWAYS)
    assert sum(one.rows for one in found) == 80
    assert sum(one.counted for one in found) == 50
    judged = report(stage).judge(MONDAY, MONDAY + DAY, "champion", stage.bundle.digest)
    assert judged.verdict.rows_left_out == 30


def test_damaged_inputs_are_archived_and_said(stage: Windowed) -> None:
    stage.score(days(1, 5))
    rows = stage.archive.table().to_pyarrow_dataset().to_table()
    at = rows.schema.get_field_index("inputs")
    damaged = rows.set_column(at, "inputs", pa.array([b"no"] * 5, pa.binary()))
    counter = WindowCounter(stage.registry, {})
    assert {one.counted for one in counter.count(damaged.to_batches(), "at")} == {0}
    assert {one.counted for one in counter.count(rows.to_batches(), "at")} == {1}


def report(stage: Windowed) -> SpanReport:
    settings = Settings(drift=SETTINGS)
    return SpanReport(stage.archive.uri, stage.registry, settings)


def test_any_span_can_be_reported_on(stage: Windowed) -> None:
    shifted = pa.array(np.random.default_rng(5).normal(1.5, 1, 400), pa.float32())
    stage.score(days(2))
    stage.score(days(2, first=2, x=shifted))
    stage.windows.copy(RETENTION_DAYS)
    calm = report(stage).judge(MONDAY, MONDAY + 2 * DAY, "champion", None)
    moved = report(stage).judge(MONDAY + 2 * DAY, MONDAY + 4 * DAY, "champion", None)
    assert (calm.verdict.level, moved.verdict.level) == ("ok", "drift")
    assert (calm.verdict.rows, calm.verdict.before, moved.verdict.confirmed) == (400, None, ())
    assert (moved.verdict.before, moved.verdict.is_day) == ("2013-12-02T00..2013-12-04T00", False)


def test_a_switch_of_models_leaves_the_other_ones_rows_out(stage: Windowed) -> None:
    later = publish(stage.registry, "1.1.0")
    stage.score(days(1))
    stage.score(days(1, 150, 1), later)
    stage.windows.copy(RETENTION_DAYS)
    newest = report(stage).judge(MONDAY, MONDAY + 2 * DAY, "champion", None)
    assert (newest.span.model_version, newest.verdict.rows, newest.verdict.rows_left_out) == ("1.1.0", 150, 200)
    chosen = report(stage).judge(MONDAY, MONDAY + 2 * DAY, "champion", stage.bundle.digest)
    assert (chosen.span.model_version, chosen.verdict.rows, chosen.verdict.rows_left_out) == ("1.0.0", 200, 150)


def test_what_cannot_be_judged_is_said(stage: Windowed, tmp_path: Path) -> None:
    with pytest.raises(OutputTableError, match="no table"):
        report(stage)
    stage.score(days(1, 20))
    with pytest.raises(OutputTableError, match="no table"):
        report(stage)
    stage.windows.copy(RETENTION_DAYS)
    with pytest.raises(TrailError, match="no window of the stream"):
        report(stage).judge(MONDAY + 10 * DAY, MONDAY + 11 * DAY, "champion", None)
    with pytest.raises(TrailError, match="no window of the stream"):
        report(stage).judge(MONDAY, MONDAY + DAY, "challenger", None)
    few = report(stage).judge(MONDAY, MONDAY + DAY, "champion", None)
    assert few.verdict.level == "not_enough_data"


def test_a_bundle_without_a_baseline_is_named(stage: Windowed) -> None:
    bare = publish(stage.registry, "2.0.0", with_baseline=False)
    stage.score(days(1, 20), bare)
    stage.windows.copy(RETENTION_DAYS)
    with pytest.raises(BundleError, match="no baseline"):
        report(stage).judge(MONDAY, MONDAY + DAY, "champion", None)
