from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from scoretrail import digest
from scoretrail.errors import BundleError, PlatformError, SchemaMismatchError
from scoretrail.model import bundle as bundles
from scoretrail.model.bundle import (
    GOLDEN_SCORE,
    bits_of,
    check_files,
    golden_differences,
    golden_rows,
    open_bundle,
    open_once,
    sums,
)
from scoretrail.model.manifest import CARD, FEATURES, GOLDEN, MANIFEST, MODEL, SUMS
from tests.factory.altered import changed, golden, with_one_bit_changed, written
from tests.factory.registered import Registered

# --- Opening ----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_opened_from_bytes_with_everything_it_needs(registered_linear: Registered) -> None:
    files = registered_linear.resolved.files

    opened = open_bundle(files)

    assert opened.digest == digest.of_bytes(files[MANIFEST]) == registered_linear.resolved.digest
    assert opened.manifest == registered_linear.manifest
    assert opened.view.contract() == opened.manifest.view
    assert opened.repeats_bits
    table = golden(files)
    features, _ = opened.view.derive(opened.view.prepare(table.combine_chunks().to_batches()[0])[0])
    np.testing.assert_array_equal(opened.raw_scores(features)[:, 1], table[f"{GOLDEN_SCORE}1"].to_numpy())
    np.testing.assert_array_equal(opened.raw_scores(features), opened.scorer.score_features(features))


def test_the_files_that_score_are_enough(registered_linear: Registered) -> None:
    files = registered_linear.resolved.files

    assert open_bundle({name: files[name] for name in (MANIFEST, MODEL, FEATURES, GOLDEN)}).repeats_bits


def test_golden_rows_with_another_bit_are_refused_or_said(registered_linear: Registered) -> None:
    files = with_one_bit_changed(registered_linear.resolved.files)

    with pytest.raises(PlatformError, match=r"1 golden rows of parcel-linear 1\.0\.0 give other bits here") as caught:
        open_bundle(files)
    assert caught.value.exit_code == 78
    assert "model.bits: platform" in str(caught.value.fix)

    assert not open_bundle(files, "platform").repeats_bits
    assert open_bundle(registered_linear.resolved.files, "platform").repeats_bits


def test_a_bundle_whose_code_declares_another_view_is_refused(registered_linear: Registered) -> None:
    files = registered_linear.resolved.files
    wider = files[FEATURES].replace(b"maximum=1000", b"maximum=2000")
    assert wider != files[FEATURES]

    with pytest.raises(BundleError, match="declares another view than the manifest says"):
        open_bundle(changed(files, {FEATURES: wider}))


def test_a_bundle_of_another_scoring_version_is_refused(registered_linear: Registered) -> None:
    with pytest.raises(BundleError, match="made for another version of Scoretrail"):
        open_bundle(changed(registered_linear.resolved.files, scoring_version=0))


def test_a_process_loads_a_bundle_once_and_keeps_no_failure(registered_linear: Registered) -> None:
    bundles._opened.cache_clear()
    files = with_one_bit_changed(registered_linear.resolved.files)

    for _ in range(2):
        with pytest.raises(PlatformError):
            open_once(files)
    tolerant = open_once(files, "platform")

    assert open_once(dict(files), "platform") is tolerant
    assert open_once(registered_linear.resolved.files) is not tolerant
    assert open_once(registered_linear.resolved.files) is open_once(registered_linear.resolved.files)
    with pytest.raises(BundleError, match="the bundle has no manifest"):
        open_once({})


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MODEL, FEATURES, GOLDEN])
def test_a_changed_or_missing_file_is_named(registered_linear: Registered, name: str) -> None:
    files = registered_linear.resolved.files
    without_sums = {key: data for key, data in files.items() if key != SUMS}

    with pytest.raises(BundleError, match="a file of the bundle was changed") as caught:
        check_files(without_sums | {name: files[name] + b" "})
    assert caught.value.where == name
    assert caught.value.expected == registered_linear.manifest.files[name]

    with pytest.raises(BundleError, match="a file of the bundle is missing") as caught:
        check_files({key: data for key, data in without_sums.items() if key != name})
    assert caught.value.where == name


@pytest.mark.parametrize("name", [MODEL, FEATURES, GOLDEN, MANIFEST, CARD])
def test_the_sums_cover_every_file_the_manifest_and_the_card_as_well(registered_linear: Registered, name: str) -> None:
    files = registered_linear.resolved.files

    with pytest.raises(BundleError, match="or its line in SHA256SUMS, was changed") as caught:
        check_files(files | {name: files[name] + b" "})
    assert caught.value.where == name

    if name != MANIFEST:
        with pytest.raises(BundleError, match="is missing, or its line was changed") as caught:
            check_files({key: data for key, data in files.items() if key != name})
        assert caught.value.where == name


def test_without_sums_a_change_to_the_manifest_shows_in_the_bundles_digest_only(registered_linear: Registered) -> None:
    """Why sums are written, alias records hold the digest, and a signature covers the manifest."""
    files = {name: data for name, data in registered_linear.resolved.files.items() if name != SUMS}
    other = files[MANIFEST].replace(b'"threshold":0.5', b'"threshold":0.6')

    assert check_files(files | {MANIFEST: other}).threshold == 0.6
    assert digest.of_bytes(other) != registered_linear.resolved.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the sums leave out files of the bundle"),
        (b"no sum\n", "is missing, or its line was changed"),
        (b"\xff\xfe", "is missing, or its line was changed"),
    ],
)
def test_sums_that_say_nothing_are_refused(registered_linear: Registered, text: bytes, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        check_files(registered_linear.resolved.files | {SUMS: text})


def test_sums_that_leave_out_a_file_are_refused(registered_linear: Registered) -> None:
    files = registered_linear.resolved.files
    few = sums({name: files[name] for name in (MODEL, FEATURES, GOLDEN, MANIFEST)})

    with pytest.raises(BundleError, match="the sums leave out files of the bundle") as caught:
        check_files(files | {SUMS: few})
    assert caught.value.got == CARD


def test_a_file_that_is_not_ours_does_not_matter(registered_linear: Registered) -> None:
    check_files(registered_linear.resolved.files | {"_SUCCESS": b""})


def test_a_manifest_that_does_not_name_what_it_must_is_refused(registered_linear: Registered) -> None:
    files = dict(registered_linear.resolved.files)
    manifest = registered_linear.manifest
    hashes = {name: sha for name, sha in manifest.files.items() if name != GOLDEN}
    files[MANIFEST] = manifest.model_copy(update={"files": hashes}).to_bytes()
    del files[SUMS]

    with pytest.raises(BundleError, match="the manifest does not name a file it must") as caught:
        check_files(files)
    assert caught.value.where == GOLDEN


def test_the_sums_are_read_by_sha256sum(registered_linear: Registered, tmp_path: Path) -> None:
    for name, data in registered_linear.resolved.files.items():
        (tmp_path / name).write_bytes(data)

    def check() -> int:
        return subprocess.run(
            ["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, capture_output=True, check=False
        ).returncode

    assert check() == 0
    (tmp_path / CARD).write_text("changed")
    assert check() == 1


# --- Golden rows ------------------------------------------------------------------------------------------------------


def test_golden_rows_hold_records_and_scores_and_repeat(registered_pipeline: Registered) -> None:
    opened = open_bundle(registered_pipeline.resolved.files)
    table = golden(registered_pipeline.resolved.files)

    assert table.schema.names == [*opened.view.record_columns, f"{GOLDEN_SCORE}0", f"{GOLDEN_SCORE}1"]
    assert table.num_rows == 256
    again = golden_rows(opened, table.select(list(opened.view.record_columns)))
    assert pq.read_table(io.BytesIO(again)).equals(table)
    assert golden_differences(opened, again) == 0


def test_differing_golden_rows_are_counted_by_row(registered_linear: Registered) -> None:
    opened = open_bundle(registered_linear.resolved.files)
    table = golden(registered_linear.resolved.files)
    for i in range(2):
        name = f"{GOLDEN_SCORE}{i}"
        flipped = pc.negate(table[name].slice(0, 5))
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.chunked_array([*flipped.chunks, *table[name].slice(5).chunks])
        )

    assert golden_differences(opened, written(table)) == 5


def test_golden_rows_that_prove_nothing_are_refused(registered_linear: Registered) -> None:
    opened = open_bundle(registered_linear.resolved.files)
    table = golden(registered_linear.resolved.files)

    with pytest.raises(BundleError, match="the bundle has no golden rows"):
        golden_differences(opened, written(table.slice(0, 0)))
    with pytest.raises(BundleError, match="golden rows have other scores than the model"):
        golden_differences(opened, written(table.drop_columns([f"{GOLDEN_SCORE}1"])))
    with pytest.raises(BundleError, match="golden rows have other scores than the model"):
        golden_differences(opened, written(table.drop_columns([f"{GOLDEN_SCORE}0", f"{GOLDEN_SCORE}1"])))
    doubles = table.cast(
        pa.schema([(f.name, pa.float64() if GOLDEN_SCORE in f.name else f.type) for f in table.schema])
    )
    with pytest.raises(BundleError, match="golden rows have other scores than the model") as caught:
        golden_differences(opened, written(doubles))
    assert (caught.value.expected, caught.value.got) == ("2 columns float32", "2 columns float64")
    with pytest.raises(BundleError, match="the golden rows are not Parquet"):
        golden_differences(opened, b"no Parquet at all")
    with pytest.raises(SchemaMismatchError, match="column 'weight_kg' is missing"):
        golden_differences(opened, written(table.drop_columns(["weight_kg"])))
    place = table.schema.get_field_index("weight_kg")
    heavy = table.set_column(place, "weight_kg", pa.array([5000.0] * table.num_rows, pa.float32()))
    with pytest.raises(BundleError, match="golden rows break the view's contract") as caught:
        golden_differences(opened, written(heavy))
    assert caught.value.where == "weight_kg"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_equal_bits_mean_equal_floats_and_more(kind: Any) -> None:
    values = np.array([[0.0, 1.0, np.nan]], dtype=kind)

    assert (bits_of(values) == bits_of(values.copy())).all()
    assert (bits_of(values) == bits_of(-values)).sum() == 0
    assert (bits_of(values) != bits_of(np.nextafter(values, kind(9)))).tolist() == [[True, True, False]]
    assert bits_of(values[:, ::2]).shape == (1, 2)
