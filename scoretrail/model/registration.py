"""What a model must prove before it becomes a bundle: that it fits its view, repeats its bits and tells its step."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from scoretrail import digest
from scoretrail.clock import utc_text
from scoretrail.config import BudgetSettings, ModelSettings
from scoretrail.errors import (
    BundleError,
    FeatureViewError,
    LimitExceededError,
    ModelError,
    RegistryError,
    UsageError,
)
from scoretrail.feature.source import load_view
from scoretrail.feature.view import faulty_rows
from scoretrail.model import graph as graphs
from scoretrail.model import manifest as manifests
from scoretrail.model import profile as profiles
from scoretrail.model.bundle import GOLDEN_SCORE, Bundle, bits_of, golden_rows
from scoretrail.model.manifest import (
    FEATURES,
    GOLDEN,
    MANIFEST,
    MODEL,
    Abstention,
    Card,
    Guards,
    Manifest,
    Metric,
    Output,
    Platform,
    Profile,
    Training,
)
from scoretrail.model.scorer import OnnxScorer, engine_version
from scoretrail.model.trees.plan import TREES
from scoretrail.model.trees.trial import choose_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoretrail.clock import Clock
    from scoretrail.digest import Digest
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.graph import Graph
    from scoretrail.model.registry import Registry
    from scoretrail.model.scorer import Scorer

BLOCK_ROWS: Final = 256
"""Rows of a call. A lone record pays for the whole block, which is padded, so a large model gets a small one."""
SMALL_BLOCK_ROWS: Final = 1024
"""Rows of a call of a small model, which takes longer to call than to compute: a linear job is a twentieth faster."""
SMALL_MODEL_BYTES: Final = 64 * 2**10
GOLDEN_ROWS: Final = 256
PROOF_ROWS: Final = 10_000
_PROOF_SIZES: Final = (1, 7, 1000, 10_000)
_SEED: Final = 20131201
"""Of the permutation in the proof; any would do, a fixed one repeats."""
_MIB: Final = 2**20
DEFAULT_ENGINES: Final = ModelSettings()


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What is asked to become a bundle."""

    name: str
    version: str
    onnx: bytes
    features: bytes
    view_name: str
    records: pa.Table
    """Rows like those it was trained on (further columns are ignored): proof and golden rows are taken from them."""
    golden: pa.Table | None = None
    """Records to become the golden rows; default a sample of ``records``."""
    task: Literal["binary", "multiclass", "regression"] | None = None
    """None infers it from the graph."""
    classes: tuple[str, ...] = ()
    """Class labels, where the graph names none."""
    threshold: float | None = None
    guards: Guards = field(default_factory=Guards)
    abstention: Abstention | None = None
    training: Training = field(default_factory=Training)
    metrics: tuple[Metric, ...] = ()
    card: Card
    attach: Callable[[Bundle], dict[str, bytes]] = lambda _: {}
    """Makes further files of the bundle with the model that was proven, such as its baseline."""


def register(
    registry: Registry,
    request: Registration,
    budget: BudgetSettings,
    clock: Clock,
    engines: ModelSettings = DEFAULT_ENGINES,
) -> tuple[Manifest, Digest]:
    """Prove a model and publish it; return its manifest and the bundle's digest.

    Args:
        registry: where it is published.
        request: what is asked.
        budget: what it may cost.
        clock: tells when.
        engines: whether the tree kernel is tried, and on how many rows.

    Raises:
        ModelError, FeatureViewError, BundleError: the model or the code is refused.
        LimitExceededError: its profile is above the budget.
        RegistryError: the version exists, or its step lies about the contract.
        ConflictError: another registration of the version is under way.
    """
    manifests.check_name(request.name)
    manifests.parse_version(request.version)
    graph = graphs.inspect(request.onnx)
    view = load_view(request.features, request.view_name)
    _refuse_reserved_names(view)
    output = infer_output(graph, request.task, request.classes)
    records = _proof_records(view, request.records)
    features = _features(view, records)
    block = choose_block(request.onnx, graph, view, output, features)
    draft = Manifest(
        name=request.name,
        version=request.version,
        created_at=utc_text(clock.now()),
        view_name=request.view_name,
        view=view.contract(),
        tensors=graphs.match_view(graph, view),
        output=output,
        operators=graph.operators,
        threshold=_threshold(request, output),
        guards=request.guards,
        abstention=request.abstention,
        block=block,
        files={},
        training=request.training,
        metrics=request.metrics,
        profile=Profile(
            bundle_bytes=0, load_s=0, peak_memory_bytes=0, batch_rows=0, p50_ms=0, p95_ms=0, p99_ms=0, cpu=""
        ),
        platform=Platform(
            machine=platform.machine(),
            python=platform.python_version(),
            onnxruntime=engine_version(),
            numpy=np.__version__,
            pyarrow=pa.__version__,
        ),
        card=request.card,
    )
    scorer = OnnxScorer(request.onnx, output, block, draft.tensors)
    chosen = request.golden if request.golden is not None else _evenly(records, GOLDEN_ROWS)
    proven = Bundle(draft, digest.of_bytes(b""), view, scorer, repeats_bits=True)
    files = {MODEL: request.onnx, FEATURES: request.features, GOLDEN: golden_rows(proven, _golden(view, chosen))}
    files |= request.attach(proven)
    engine, plan = choose_engine(request.onnx, draft, features, engines)
    files |= {} if plan is None else {TREES: plan}
    hashed = draft.model_copy(
        update={"engine": engine, "files": {name: digest.of_bytes(data) for name, data in files.items()}}
    )
    check_step(registry, hashed)
    manifest = hashed.model_copy(update={"profile": _profile(hashed, files, budget)})
    return manifest, registry.publish(manifest, files)


def infer_output(
    graph: Graph, task: Literal["binary", "multiclass", "regression"] | None, classes: tuple[str, ...]
) -> Output:
    """Return how the graph's output becomes scores.

    Raises:
        ModelError: no output can hold scores, or the classes are not known.
    """
    scores = [tensor for tensor in graph.outputs if tensor.dtype in ("float32", "float64", "zipmap")]
    if not scores:
        raise ModelError("the model has no output that can hold scores", got=", ".join(t.dtype for t in graph.outputs))
    chosen = scores[-1]
    labels = classes or graph.classes
    if task is None:
        task = "regression" if not labels else "binary" if len(labels) == 2 else "multiclass"  # noqa: PLR2004
    if task == "regression":
        if chosen.width not in (None, 1) or chosen.dtype == "zipmap":
            raise ModelError(
                "a regressor has one value per row",
                got=f"{chosen.width or 'classes'} in output {chosen.name!r}",
                fix="if it is a classifier whose graph names no classes, state them: --classes A,B,C",
            )
        return Output(task=task, name=chosen.name, form="matrix")
    if not labels and task == "binary":
        labels = ("0", "1")
    if len(labels) < 2 or (task == "binary") != (len(labels) == 2):  # noqa: PLR2004
        raise ModelError(
            f"the classes of a {task} classifier are not known",
            got=", ".join(labels) or "none",
            fix="state them: --classes A,B,C",
        )
    return Output(task=task, name=chosen.name, form="zipmap" if chosen.dtype == "zipmap" else "matrix", classes=labels)


def block_rows(model: bytes) -> int:
    """Return the rows of a fixed block for a model of this size.

    >>> block_rows(bytes(2_000)), block_rows(bytes(5_000_000))
    (1024, 256)
    """
    return SMALL_BLOCK_ROWS if len(model) <= SMALL_MODEL_BYTES else BLOCK_ROWS


def choose_block(model: bytes, graph: Graph, view: FeatureView, output: Output, features: pa.RecordBatch) -> int | None:
    """Return the rows per call under which the bits do not depend on size, order or company.

    Raises:
        ModelError: they do so even in fixed blocks.
    """
    tensors = graphs.match_view(graph, view)
    fixed = block_rows(model)
    for block in dict.fromkeys((None if graph.is_trees_only else fixed, fixed)):
        if _differences(OnnxScorer(model, output, block, tensors), features) == 0:
            return block
    raise ModelError(
        "the model's bits depend on the company a row is scored in",
        where=f"blocks of {fixed} rows",
        fix="remove operators that look across rows or draw random numbers",
    )


def _differences(scorer: Scorer, features: pa.RecordBatch) -> int:
    def score(batch: pa.RecordBatch) -> Any:  # noqa: ANN401
        return bits_of(scorer.score_features(batch))

    reference = score(features)
    different = 0
    for size in _PROOF_SIZES:
        parts = [score(features.slice(at, size)) for at in range(0, features.num_rows, size)]
        different += int((np.concatenate(parts) != reference).any(axis=1).sum())
    order = np.random.default_rng(_SEED).permutation(features.num_rows)
    return different + int((score(features.take(pa.array(order))) != reference[order]).any(axis=1).sum())


def check_step(registry: Registry, manifest: Manifest) -> None:
    """Refuse a version number that says less than what changed since the next lower version.

    Raises:
        RegistryError: inputs, outputs or architecture changed without a MAJOR step, or scores with a PATCH step.
    """
    number = manifests.parse_version(manifest.version)
    lower = [v for v in registry.versions(manifest.name) if manifests.parse_version(v) < number]
    if not lower:
        return
    before = registry.manifest(manifest.name, lower[-1])
    major, minor, _ = manifests.parse_version(before.version)
    if number[0] == major and manifest.contract() != before.contract():
        changed = [key for key, value in manifest.contract().items() if value != before.contract()[key]]
        raise RegistryError(
            "the contract changed, and the version says it did not",
            where=f"{manifest.name} {before.version} to {manifest.version}",
            got=f"changed: {', '.join(changed)}",
            fix=f"register it as {major + 1}.0.0",
        )
    if number[:2] == (major, minor) and manifest.score_digest != before.score_digest:
        raise RegistryError(
            "scores or decisions change, and the version says they do not",
            where=f"{manifest.name} {before.version} to {manifest.version}",
            fix=f"register it as {major}.{minor + 1}.0",
        )


def _threshold(request: Registration, output: Output) -> float | None:
    if output.task != "binary":
        if request.threshold is not None:
            raise UsageError("a threshold belongs to a binary classifier", got=output.task)
        return None
    threshold = 0.5 if request.threshold is None else request.threshold
    if not math.isfinite(threshold):
        raise UsageError("a threshold must be finite", got=str(threshold))
    return threshold


def _refuse_reserved_names(view: FeatureView) -> None:
    reserved = [name for name in view.record_columns if name.startswith(GOLDEN_SCORE)]
    if reserved:
        raise FeatureViewError(f"names that begin with {GOLDEN_SCORE!r} are reserved", got=", ".join(reserved))


def _proof_records(view: FeatureView, table: pa.Table) -> pa.Table:
    """Return up to PROOF_ROWS records that the view accepts, spread evenly over the table.

    Raises:
        SchemaMismatchError: the table does not fit the view.
        BundleError: there are no records, or the view accepts none.
    """
    view.match(table.schema, "training data")
    spread = _evenly(table.select(list(view.record_columns)), PROOF_ROWS).combine_chunks()
    if not spread.num_rows:
        raise BundleError(
            "there are no records to prove the model on", fix="give --training-data or --golden with rows"
        )
    record, faults = view.prepare(spread.to_batches()[0])
    good = np.setdiff1d(np.arange(record.num_rows), faulty_rows(faults))
    record = record.take(pa.array(good))
    _, derived_faults = view.derive(record)
    good = np.setdiff1d(np.arange(record.num_rows), faulty_rows(derived_faults))
    if not len(good):
        raise BundleError("the view refuses every record it was given", got=[*faults, *derived_faults][0].code)
    return pa.Table.from_batches([record.take(pa.array(good))])


def _golden(view: FeatureView, chosen: pa.Table) -> pa.Table:
    view.match(chosen.schema, "golden rows")
    table = chosen.select(list(view.record_columns)).combine_chunks()
    if not table.num_rows:
        raise BundleError("there are no golden rows")
    record, faults = view.prepare(table.to_batches()[0])
    faults = faults or view.derive(record)[1]
    if faults:
        raise BundleError(
            "golden rows break the view's contract",
            where=f"{faults[0].field}, row {int(faults[0].rows[0])}",
            expected=faults[0].expected,
            got=faults[0].code,
        )
    return pa.Table.from_batches([record])


def _features(view: FeatureView, records: pa.Table) -> pa.RecordBatch:
    """Return the proof rows' features after showing that each row's follow from that row alone.

    Raises:
        FeatureViewError: a derived feature depends on other rows.
    """
    (batch,) = records.combine_chunks().to_batches()
    features, _ = view.derive(batch)
    order = pa.array(np.random.default_rng(_SEED).permutation(batch.num_rows))
    permuted, _ = view.derive(batch.take(order))
    alone = [view.derive(batch.slice(at, 1))[0] for at in range(min(batch.num_rows, 50))]
    for name in features.schema.names:
        together = features.column(name)
        single = pa.concat_arrays([one.column(name) for one in alone])
        if not permuted.column(name).equals(together.take(order)) or not single.equals(together.slice(0, len(alone))):
            raise FeatureViewError(
                f"feature {name!r} depends on the other rows of the batch",
                fix="compute it from its own row; what needs other rows is a stored feature",
            )
    return features


def _evenly(table: pa.Table, rows: int) -> pa.Table:
    if table.num_rows <= rows:
        return table
    return table.take(pa.array(np.linspace(0, table.num_rows - 1, rows).astype(np.int64)))


def _profile(manifest: Manifest, files: dict[str, bytes], budget: BudgetSettings) -> Profile:
    """Return the resource profile that a fresh process measures.

    Raises:
        ModelError: a fresh process gets other bits.
        LimitExceededError: the profile is above the budget.
    """
    once = profiles.measure({**files, MANIFEST: manifest.to_bytes()})
    if once.golden_differences:
        raise ModelError(
            "golden rows do not repeat in a fresh process",
            got=f"{once.golden_differences} rows with other bits",
            fix="remove what is random from the graph",
        )
    size = sum(len(data) for data in files.values())
    for name, got, limit, unit in (
        ("max_bundle_mib", size / _MIB, budget.max_bundle_mib, "MiB"),
        ("max_load_s", once.load_s, budget.max_load_s, "s"),
        ("max_peak_memory_mib", once.peak_memory_bytes / _MIB, budget.max_peak_memory_mib, "MiB"),
        ("max_p99_ms", once.p99_ms, budget.max_p99_ms, "ms"),
    ):
        if got > limit:
            raise LimitExceededError(
                "the bundle is above the budget",
                where=f"registry.budget.{name}",
                expected=f"at most {limit:g} {unit}",
                got=f"{got:.3g} {unit}",
                fix="make the model smaller, or raise the budget in conf/",
            )
    return Profile(
        bundle_bytes=size,
        load_s=once.load_s,
        peak_memory_bytes=once.peak_memory_bytes,
        batch_rows=profiles.BATCH_ROWS,
        p50_ms=once.p50_ms,
        p95_ms=once.p95_ms,
        p99_ms=once.p99_ms,
        cpu=once.cpu,
    )
