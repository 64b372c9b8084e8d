from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scoretrail.storage import Storage
from scoretrail.trail.erasure import Erasure, erasures, key_digest, write_erasure
from scoretrail.trail.run import RunStore


def test_records_come_back_in_order_and_are_no_runs(tmp_path: Path) -> None:
    record = Erasure(
        key_sha256=key_digest("somebody"),
        reason="ticket",
        erased_at="2026-01-02T00:00:00.000000Z",
        table=str(tmp_path),
        table_version=3,
        rows=1,
        files_rewritten=1,
        files_vacuumed=0,
        superseded=1,
    )
    earlier = replace(record, erased_at="2026-01-01T00:00:00.000000Z", table_version=None)
    for one in (record, earlier):
        write_erasure(one, {})

    assert erasures(str(tmp_path), {}) == [earlier, record]
    assert RunStore(Storage(str(tmp_path / "_scoretrail"))).run_ids() == []
    assert not any(b"somebody" in path.read_bytes() for path in tmp_path.rglob("*.json"))


def test_a_table_without_records_has_none(tmp_path: Path) -> None:
    assert erasures(str(tmp_path / "none"), {}) == []
