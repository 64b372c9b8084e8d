"""Bundles whose files were changed and whose manifest was mended, so that only what they mean is wrong."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail import digest
from scoretrail.model import manifest as manifests
from scoretrail.model.bundle import GOLDEN_SCORE
from scoretrail.model.manifest import GOLDEN, MANIFEST, SUMS

if TYPE_CHECKING:
    from scoretrail.model.bundle import BundleFiles


def changed(files: BundleFiles, replaced: dict[str, bytes] | None = None, **fields: Any) -> BundleFiles:
    """Return a bundle with other files or fields whose manifest names its files as they are."""
    files = {**files, **(replaced or {})}
    manifest = manifests.parse(files[MANIFEST])
    hashes = {name: digest.of_bytes(files[name]) for name in manifest.files}
    files[MANIFEST] = manifest.model_copy(update={"files": hashes} | fields).to_bytes()
    del files[SUMS]
    return files


def golden(files: BundleFiles) -> pa.Table:
    return pq.read_table(io.BytesIO(files[GOLDEN]))


def written(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def with_one_bit_changed(files: BundleFiles) -> BundleFiles:
    """Return a bundle that recorded another last bit of one score."""
    table = golden(files)
    name = f"{GOLDEN_SCORE}1"
    scores = table[name].to_numpy().copy()
    scores[3] = np.nextafter(scores[3], np.float32(2))
    place = table.schema.get_field_index(name)
    return changed(files, {GOLDEN: written(table.set_column(place, name, pa.array(scores)))})
