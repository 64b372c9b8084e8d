"""``runs verify``: every kind of tampering is found and named; what retention removed is expired, nothing more."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.batch.audit.verify import Verification, findings_table, verify
from jobs.batch.output.maintain import compact, vacuum
from jobs.progress import SilentProgress
from scoretrail.clock import Clock, FixedClock, SystemClock
from scoretrail.digest import canonical_json
from scoretrail.errors import TrailError
from scoretrail.table import OutputTable
from tests.factory.registered import open_registry
from tests.factory.workshop import CHAMPION, Workshop, records, with_values


def look(shop: Workshop, run_id: str = "r1", clock: Clock | None = None) -> Verification:
    registry = open_registry(shop.registry)
    settings = shop.resolved().settings
    return verify(shop.table(), run_id, registry, settings, clock or SystemClock(), SilentProgress())


def found(result: Verification) -> set[tuple[str, str]]:
    return {(finding.what, finding.verdict) for finding in result.findings}


@pytest.fixture
def published(shop: Workshop) -> Workshop:
    """Two days with a reject, scored as ``r1`` from a registry of their own."""
    registry = shop.folder / "registry"
    shutil.copytree(shop.registry, registry)
    shop.registry = registry
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 50))
    shop.write("ds=2/a.parquet", records(50, 50))
    shop.score(run_id="r1")
    return shop


def flip_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def one_of(folder: str | Path, pattern: str) -> Path:
    return min(Path(folder).rglob(pattern))


def test_nothing_is_found_where_nothing_was_changed(published: Workshop) -> None:
    result = look(published)
    assert result.findings == []
    assert result.checked == {"messages": 1, "record": 1, "commit": 3, "bundle": 1, "outputs": 3, "inputs": 2}
    assert result.to_json()["different"] == 0


def message(shop: Workshop) -> Path:
    return one_of(Path(shop.output) / "_scoretrail" / "r1" / "work", "*.json")


def change_message(shop: Workshop) -> None:
    values = json.loads(message(shop).read_bytes())
    message(shop).write_bytes(canonical_json({**values, "rows_scored": values["rows_scored"] - 1}))


def change_record(shop: Workshop) -> None:
    path = Path(shop.output) / "_scoretrail" / "r1" / "run.json"
    path.write_bytes(path.read_bytes().replace(b'"rejected":1', b'"rejected":0'))


def change_commit(field: str) -> Callable[[Workshop], None]:
    def change(shop: Workshop) -> None:
        for entry in (Path(shop.output) / "_delta_log").glob("*.json"):
            lines = entry.read_text().splitlines()
            changed = []
            for line in lines:
                action = json.loads(line)
                if action.get("commitInfo", {}).get(field):
                    value = action["commitInfo"][field]
                    action["commitInfo"][field] = ("0" if value[0] != "0" else "1") + value[1:]
                changed.append(json.dumps(action))
            entry.write_text("\n".join(changed))

    return change


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda shop: flip_byte(one_of(shop.output, "part-*.parquet"), 100), {"outputs"}),
        (lambda shop: flip_byte(one_of(f"{shop.output}_rejects", "part-*.parquet"), 100), {"outputs"}),
        (lambda shop: one_of(shop.output, "part-*.parquet").unlink(), {"outputs"}),
        (lambda shop: one_of(f"{shop.output}_rejects", "part-*.parquet").unlink(), {"outputs"}),
        (lambda shop: flip_byte(shop.input / "ds=1" / "a.parquet", 100), {"inputs"}),
        (change_message, {"messages", "record"}),
        (lambda shop: message(shop).write_bytes(b"{}"), {"messages", "record"}),
        (lambda shop: message(shop).write_bytes(message(shop).read_bytes()[:-9]), {"messages", "record"}),
        (lambda shop: message(shop).unlink(), {"messages", "record"}),
        (change_record, {"record"}),
        (lambda shop: flip_byte(shop.registry / "parcel" / "1.0.0" / "model.onnx", 500), {"bundle"}),
        (lambda shop: flip_byte(shop.registry / "parcel" / "1.0.0" / "features.py", 5), {"bundle"}),
        (lambda shop: flip_byte(shop.registry / "parcel" / "1.0.0" / "golden.parquet", 50), {"bundle"}),
        (lambda shop: flip_byte(shop.registry / "parcel" / "1.0.0" / "manifest.json", 50), {"bundle"}),
        (lambda shop: flip_byte(shop.registry / "parcel" / "1.0.0" / "SHA256SUMS", 50), {"bundle"}),
        (lambda shop: shutil.rmtree(shop.registry / "parcel" / "1.0.0"), {"bundle"}),
        (change_commit("scoretrail.bundle_sha256"), {"commit"}),
        (change_commit("scoretrail.plan_sha256"), {"commit"}),
        (change_commit("scoretrail.messages_sha256"), {"commit"}),
        (change_commit("scoretrail.run_id"), {"commit"}),
    ],
    ids=[
        "a byte of an output", "a byte of a reject file", "an output removed", "a reject file removed",
        "a byte of an input", "a number in a message", "an empty message", "a cut message", "a message removed",
        "a number in the record", "a byte of the model", "a byte of the features", "a byte of the golden rows",
        "a byte of the manifest", "a byte of the sums", "the bundle removed", "the commit's bundle",
        "the commit's plan", "the commit's messages", "the commit's run",
    ],
)  # fmt: skip
def test_tampering_is_found_and_named(
    published: Workshop, tamper: Callable[[Workshop], None], expected: set[str]
) -> None:
    tamper(published)
    result = look(published)
    assert found(result) == {(what, "different") for what in expected}
    assert result.different == len(result.findings)
    assert {row[1] for row in findings_table(result.findings)} == expected


def test_an_input_that_is_gone_is_expired(published: Workshop) -> None:
    shutil.rmtree(published.input / "ds=2")
    result = look(published)
    assert found(result) == {("inputs", "expired")}
    assert (result.different, result.to_json()["expired"]) == (0, 1)


def test_a_superseded_file_is_expired_once_vacuum_removed_it(published: Workshop) -> None:
    published.score("models:/parcel/1.1.0", run_id="r2")
    assert look(published).findings == []  # superseded files stay for the retention
    later = datetime.now(UTC) + timedelta(days=2)
    rejects = OutputTable(f"{published.output}_rejects")
    assert len(vacuum(published.table(), retention_days=0, options={}, now=later)) == 2
    assert len(vacuum(rejects, retention_days=0, options={}, now=later)) == 1
    result = look(published)
    assert found(result) == {("outputs", "expired")}
    assert look(published, "r2").findings == []


def test_after_the_retention_a_missing_file_is_expired_unless_readers_need_it(published: Workshop) -> None:
    published.score("models:/parcel/1.1.0", run_id="r2")
    old = FixedClock(datetime.now(UTC) + timedelta(days=401))
    run = published.store().find("r1")
    assert run is not None
    superseded = Path(published.output) / published.store().messages("r1", run.work)[0].predictions[0].path
    superseded.unlink()
    assert found(look(published)) == {("outputs", "different")}
    assert found(look(published, clock=old)) == {("outputs", "expired")}
    (Path(published.output) / min(published.live_paths())).unlink()
    assert found(look(published, "r2", old)) == {("outputs", "different")}


def test_a_log_entry_is_expired_after_the_retention(published: Workshop) -> None:
    change_commit("scoretrail.run_id")(published)
    old = FixedClock(datetime.now(UTC) + timedelta(days=401))
    assert found(look(published, clock=old)) == {("commit", "expired")}


def test_a_merged_file_is_looked_at_for_the_runs_whose_rows_it_holds(shop: Workshop) -> None:
    shop.write_days(("1",), files=2)
    shop.score(run_id="r1")
    shop.write("ds=2/a.parquet", records(10, 500))
    shop.score(run_id="r2")
    compact(shop.table(), target_bytes=2**20, row_group_rows=1000, options={})
    result = look(shop)
    assert (result.findings, result.checked["merged"]) == ([], 1)
    flip_byte(one_of(shop.output, "merged-*.parquet"), 100)
    assert found(look(shop)) == {("merged", "different")}
    assert look(shop, "r2").findings == []


def test_an_unchanged_run_has_nothing_but_its_bundle_to_verify(published: Workshop) -> None:
    published.score(run_id="r2")
    result = look(published, "r2")
    assert (result.findings, set(result.checked)) == ([], {"messages", "record", "bundle"})


def test_only_what_was_published_can_be_verified(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.score(CHAMPION, run_id="r2")
    with pytest.raises(TrailError, match="there is no run"):
        look(shop, "r1")
    (Path(shop.output) / "_scoretrail" / "r2" / "run.json").unlink()
    with pytest.raises(TrailError, match="published nothing"):
        look(shop, "r2")
    (Path(shop.output) / "_scoretrail" / "r2" / "run.json").write_bytes(b"\x00")
    with pytest.raises(TrailError, match="cannot be read"):
        look(shop, "r2")
