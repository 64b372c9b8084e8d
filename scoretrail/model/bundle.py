"""A bundle opened from bytes: every file checked against the manifest, view and scorer loaded from those bytes."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail import digest, log
from scoretrail.errors import BundleError, PlatformError
from scoretrail.feature.source import load_view
from scoretrail.model import manifest as manifests
from scoretrail.model.engine import REFERENCE, Engine, fallen_back, load_scorer, reference
from scoretrail.model.manifest import Manifest
from scoretrail.model.trees.plan import TREES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scoretrail.digest import Digest
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.engine import EngineChoice
    from scoretrail.model.scorer import Scorer

GOLDEN_SCORE = "golden_score_"
"""Prefix of the columns of golden rows that hold the recorded scores; a feature may not be called so."""

BundleFiles = dict[str, bytes]
"""A bundle as it travels: file name -> bytes."""


@dataclass(frozen=True)
class Bundle:
    """Everything that turns a record into a score, loaded and checked."""

    manifest: Manifest
    digest: Digest
    """sha256 of the manifest's bytes, which hash everything else."""
    view: FeatureView
    scorer: Scorer
    repeats_bits: bool
    """True where the golden rows gave their recorded bits on this machine."""
    engine: Engine = REFERENCE
    """What scores here, and why."""

    def raw_scores(self, features: pa.RecordBatch) -> NDArray[Any]:
        """Return the model's scores before guards, (n_rows, n_scores) float, rows in order.

        Args:
            features: the view's inputs as :meth:`FeatureView.derive` returned them.

        Raises:
            ScoreError: the model failed.
        """
        return self.scorer.score_features(features)


def open_bundle(
    files: Mapping[str, bytes], bits: Literal["exact", "platform"] = "exact", engine: EngineChoice = "auto"
) -> Bundle:
    """Return the bundle that these bytes are, warm and proven on its golden rows.

    Args:
        files: file name -> bytes, read once; nothing is read again.
        bits: ``exact`` refuses a machine on which the golden rows differ; ``platform`` says so in the bundle.
        engine: ``auto`` scores with the engine that registration proved, where it runs and repeats the golden rows.

    Raises:
        BundleError: a file is missing or is not what the manifest says.
        PlatformError: the golden rows do not give their recorded bits here.
        FeatureViewError, ModelError: the code or the model is refused.
    """
    manifest = check_files(files)
    manifests.check_scoring_version(manifest)
    view = load_view(files[manifests.FEATURES], manifest.view_name)
    if view.contract() != manifest.view:
        raise BundleError("the feature code declares another view than the manifest says", where=manifest.view_name)
    scorer, chosen = load_scorer(files, manifest, engine)
    bundle = Bundle(manifest, digest.of_bytes(files[manifests.MANIFEST]), view, scorer, True, chosen)  # noqa: FBT003
    differing = golden_differences(bundle, files[manifests.GOLDEN])
    if differing and chosen.name != "onnxruntime":
        chosen = fallen_back(manifest, f"{differing} golden rows give other bits with the kernel here")
        bundle = replace(bundle, scorer=reference(files, manifest), engine=chosen)
        differing = golden_differences(bundle, files[manifests.GOLDEN])
    log.get().debug(
        log.BUNDLE_LOADED,
        bundle_sha256=bundle.digest,
        golden_rows_different=differing,
        engine=chosen.name,
        reason=chosen.reason,
    )
    if not differing:
        return bundle
    if bits == "exact":
        raise PlatformError(
            f"{differing} golden rows of {manifest.name} {manifest.version} give other bits here",
            where=f"{platform.machine()}, {_cpu()}",
            expected=f"the bits of {manifest.platform.machine}, onnxruntime {manifest.platform.onnxruntime}",
            fix="score on such a machine with such library versions, or set model.bits: platform, which the trail says",
        )
    return replace(bundle, repeats_bits=False)


@functools.lru_cache(maxsize=4)
def _opened(bundle_sha256: str, bits: Literal["exact", "platform"], engine: EngineChoice) -> list[Bundle]:
    """Return the place where a process keeps a loaded bundle; the key holds every byte, through the manifest."""
    del bundle_sha256, bits, engine
    return []


def open_once(
    files: Mapping[str, bytes], bits: Literal["exact", "platform"] = "exact", engine: EngineChoice = "auto"
) -> Bundle:
    """Return :func:`open_bundle`'s result, loaded once per process and bundle.

    Raises:
        BundleError, PlatformError, FeatureViewError, ModelError: as :func:`open_bundle`.
    """
    place = _opened(digest.of_bytes(files.get(manifests.MANIFEST, b"")), bits, engine)
    if not place:
        place.append(open_bundle(files, bits, engine))
    return place[0]


def check_files(files: Mapping[str, bytes]) -> Manifest:
    """Return the manifest after every file was found to be what it must be.

    The manifest hashes the files that score. ``SHA256SUMS``, where it is there, covers the manifest and the card as
    well; a registration that died in its last step leaves none. The signature covers itself.

    Raises:
        BundleError: a file is missing, or has other bytes.
    """
    if manifests.MANIFEST not in files:
        raise BundleError("the bundle has no manifest", expected=manifests.MANIFEST, got=", ".join(sorted(files)))
    listed = _check_sums(files)
    manifest = manifests.parse(files[manifests.MANIFEST])
    for name, expected in manifest.files.items():
        if name not in files:
            raise BundleError("a file of the bundle is missing", where=name)
        got = digest.of_bytes(files[name])
        if got != expected:
            raise BundleError("a file of the bundle was changed", where=name, expected=expected, got=got)
    needed = [manifests.MODEL, manifests.FEATURES, manifests.GOLDEN]
    for name in [*needed, TREES] if manifest.engine.name == "trees" else needed:
        if name not in manifest.files:
            raise BundleError("the manifest does not name a file it must", where=name)
    unlisted = {manifests.MANIFEST, manifests.CARD, *manifest.files} - (listed or set())
    if unlisted and listed is not None:
        raise BundleError(
            "the sums leave out files of the bundle", where=manifests.SUMS, got=", ".join(sorted(unlisted))
        )
    return manifest


def _check_sums(files: Mapping[str, bytes]) -> set[str] | None:
    """Return the files that ``SHA256SUMS`` lists, each as it says; None where there are no sums.

    Raises:
        BundleError: a listed file, or its line, was changed.
    """
    if manifests.SUMS not in files:
        return None
    lines = files[manifests.SUMS].decode(errors="replace").split("\n")
    names = {line.partition("  ")[2] for line in lines if line}
    for name in sorted(names):
        if name not in files:
            raise BundleError("a file of the bundle is missing, or its line was changed", where=name)
    # Compared as a whole, so that no byte of the sums themselves goes unseen.
    for line, expected in zip_longest(lines, sums({name: files[name] for name in names}).decode().split("\n")):
        if line != expected:
            where = (expected or line or "").partition("  ")[2] or manifests.SUMS
            raise BundleError(f"a file of the bundle, or its line in {manifests.SUMS}, was changed", where=where)
    return names


def sums(files: Mapping[str, bytes]) -> bytes:
    """Return the text of ``SHA256SUMS``, as ``sha256sum --check`` reads it, for these files."""
    return "".join(f"{digest.of_bytes(data)}  {name}\n" for name, data in sorted(files.items())).encode()


def golden_rows(bundle: Bundle, records: pa.Table) -> bytes:
    """Return golden rows as Parquet: the records, and the scores they gave.

    Args:
        bundle: the bundle that scores them.
        records: rows of the view's record columns without a fault.
    """
    (batch,) = records.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], records.schema)]
    record, _ = bundle.view.prepare(batch)
    features, _ = bundle.view.derive(record)
    scores = bundle.raw_scores(features)
    for i in range(scores.shape[1]):
        record = record.append_column(f"{GOLDEN_SCORE}{i}", pa.array(np.ascontiguousarray(scores[:, i])))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([record]), sink, compression="zstd", store_schema=True)
    return bytes(sink.getvalue())


def golden_differences(bundle: Bundle, golden: bytes) -> int:
    """Return how many golden rows give other bits than recorded; this also warms the model.

    Raises:
        BundleError: the golden rows break the view's contract, or there are none.
        SchemaMismatchError: they lack a column of the view.
    """
    try:
        table = pq.read_table(pa.BufferReader(golden)).combine_chunks()
    except pa.ArrowInvalid as error:
        raise BundleError("the golden rows are not Parquet", where=manifests.GOLDEN, got=str(error)) from error
    bundle.view.match(table.schema, manifests.GOLDEN)
    if not table.num_rows:
        raise BundleError("the bundle has no golden rows", where=manifests.GOLDEN)
    (batch,) = table.to_batches()
    record, faults = bundle.view.prepare(batch)
    features, more = bundle.view.derive(record)
    if faults or more:
        raise BundleError("golden rows break the view's contract", where=f"{(faults + more)[0].field}")
    scores = bundle.raw_scores(features)
    names = [name for name in batch.schema.names if name.startswith(GOLDEN_SCORE)]
    recorded = np.asarray(batch.select(names).to_tensor(row_major=True)) if names else np.empty((0, 0))
    if (recorded.shape, recorded.dtype) != (scores.shape, scores.dtype):
        raise BundleError(
            "golden rows have other scores than the model",
            where=manifests.GOLDEN,
            expected=f"{scores.shape[1]} columns {scores.dtype}",
            got=f"{len(names)} columns {recorded.dtype}",
        )
    return int((bits_of(recorded) != bits_of(scores)).any(axis=1).sum())


def bits_of(scores: NDArray[Any]) -> NDArray[Any]:
    """Return floats as the unsigned integers of their bits, so that equal means equal (NaN, -0).

    >>> bool((bits_of(np.array([0.0])) == bits_of(np.array([-0.0]))).all())
    False
    """
    kind = {2: np.uint16, 4: np.uint32, 8: np.uint64}[scores.dtype.itemsize]
    return np.ascontiguousarray(scores).view(kind)


def _cpu() -> str:
    return platform.processor() or "unknown processor"
