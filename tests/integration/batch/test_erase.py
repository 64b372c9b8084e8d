"""An entity erased from a scored table and its rejects: it stays out, and the trail knows why it is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.archive.erasure import ErasureRequest, erase
from jobs.batch.audit.reproduce import reproduce
from jobs.batch.audit.verify import verify
from jobs.progress import SilentProgress
from scoretrail.clock import SystemClock
from scoretrail.table import OutputTable
from scoretrail.trail.erasure import Erasure
from tests.factory.registered import open_registry
from tests.factory.workshop import InlineEngine, Workshop, records, with_values


@pytest.fixture
def shop(tmp_path: Path, parcel_registry: Path) -> Workshop:
    """Two files, one row refused, scored as ``r1``."""
    found = Workshop(tmp_path / "shop", parcel_registry, InlineEngine())  # type: ignore[arg-type]
    found.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 50))
    found.write("ds=2/a.parquet", records(50, 50))
    found.score(run_id="r1")
    return found


def take_out(table: OutputTable, key: str, *, vacuum: bool = False) -> Erasure:
    return erase(
        table,
        ErasureRequest(key=key, reason="ticket", at=datetime.now(UTC), vacuum=vacuum, row_group_rows=1000, options={}),
    )


def keys(table: OutputTable) -> list[str]:
    return [str(key) for key in table.to_pyarrow_dataset().to_table().column("parcel_id").to_pylist()]


def test_its_rows_go_and_the_same_run_does_not_bring_them_back(shop: Workshop) -> None:
    key = keys(shop.table())[7]
    assert take_out(shop.table(), key, vacuum=True).rows == 1
    assert (len(keys(shop.table())), key in keys(shop.table())) == (98, False)
    again = shop.score(run_id="r2")
    assert (again.rows["scored"], again.rows["skipped"], key in keys(shop.table())) == (0, 100, False)


def test_a_refused_row_goes_from_the_rejects(shop: Workshop) -> None:
    (key,) = keys(shop.rejects_table())
    assert take_out(shop.rejects_table(), key).rows == 1
    assert keys(shop.rejects_table()) == []
    assert shop.score(run_id="r2").rows["scored"] == 0


@pytest.mark.parametrize("vacuum", [False, True], ids=["superseded files stay", "vacuumed"])
def test_the_trail_tells_erased_rows_from_lost_ones(shop: Workshop, vacuum: bool) -> None:
    registry, settings = open_registry(shop.registry), shop.resolved().settings
    key, rejected = keys(shop.table())[7], keys(shop.rejects_table())[0]
    take_out(shop.table(), key, vacuum=vacuum)
    take_out(shop.rejects_table(), rejected, vacuum=vacuum)
    result = reproduce(shop.table(), "r1", registry, settings, SilentProgress())
    assert (result.different, result.equal, result.erased) == (0, 98, 2)
    verified = verify(shop.table(), "r1", registry, settings, SystemClock(), SilentProgress())
    assert verified.different == 0, verified.findings
    # Without the record of it, the same rows are missing for no reason.
    for record in (Path(shop.output) / "_scoretrail" / "erased").iterdir():
        record.unlink()
    assert reproduce(shop.table(), "r1", registry, settings, SilentProgress()).different > 0
