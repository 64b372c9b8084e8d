"""Three models, trained through their feature views and exported to ONNX.

Two of one contract know the timetable only: a linear one, and trees. The third, trees too, also uses stored features:
it is trained on records that ``scoretrail features build`` joined with them, as of scheduled departure.

Trained on January to August; threshold and abstention band chosen on September; measured on October and
November, which nothing before has looked at. December is what the demo scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import onnx
import onnxmltools
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import skl2onnx
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType as LightgbmFloats
from skl2onnx.common.data_types import FloatTensorType as SklearnFloats
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from examples.flights import evaluate
from examples.flights.folder import Progress
from examples.flights.prepare import PreparedFlights
from scoretrail import digest
from scoretrail.digest import Digest
from scoretrail.errors import ModelError
from scoretrail.feature import FeatureView, training_inputs
from scoretrail.feature.source import load_view
from scoretrail.feature.tensor import TensorSpec, to_tensors
from scoretrail.model import graph as graphs
from scoretrail.model.manifest import Abstention, Metric, Training
from scoretrail.model.registration import BLOCK_ROWS, infer_output
from scoretrail.model.scorer import OnnxScorer
from scoretrail.monitor import performance

VIEW_NAME: Final = "flight_delay"
LIVE_VIEW_NAME: Final = "flight_delay_live"
CLASSES: Final = ("on_time", "late")
"""What the graphs' classes 0 and 1 are called in scored tables."""
WATCH: Final = "watch"
"""The decision inside the abstention band: too close to call."""

TRAINING_MONTHS: Final = range(1, 9)
VALIDATION_MONTHS: Final = range(9, 10)
HELD_OUT_MONTHS: Final = range(10, 12)

SEED: Final = 20130901
MAX_DIFFERENCE: Final = 1e-5
"""Between native and ONNX scores: 100 float32 sums stay below, a tree that takes a wrong turn does not."""
ONNX_OPSET: Final = 15
"""The newest that onnxmltools writes."""

ONE_HOT: Final = ("carrier_code", "origin_code", "dest_code", "dep_hour", "day_of_week")
"""What the linear model reads as categories; the rest it scales."""
LINEAR_PARAMETERS: Final[Mapping[str, Any]] = {"C": 1.0, "solver": "lbfgs", "max_iter": 200}
TREE_PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 200,
    "seed": SEED,
    # One thread, and histograms by row: with more, sums are added in another order on another machine.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
TREES: Final = 100
"""Twice as many gain 0.002 of AUC on September, and cost twice the time of every score."""

_TREES_WITH_ROUNDS: Final[Mapping[str, Any]] = {**TREE_PARAMETERS, "num_boost_round": TREES}

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Flights of some months whose arrival is known, as a model sees them."""

    name: str
    records: pa.Table
    matrix: Array
    """(n_rows, n_inputs) float32, columns in the view's order."""
    late: Array
    """(n_rows,) bool."""
    day: Array
    """(n_rows,) str: the New York day."""


@dataclass(frozen=True)
class Candidate:
    """A trained and measured model, with everything its registration needs."""

    onnx: bytes
    threshold: float
    band: Abstention
    metrics: tuple[Metric, ...]
    training: Training


@dataclass(frozen=True)
class Candidates:
    """Both models, and the records they were trained on."""

    linear: Candidate
    trees: Candidate
    features: bytes
    """The feature code, whose view is ``VIEW_NAME``."""
    records: pa.Table


@dataclass(frozen=True)
class LiveCandidate:
    """The model that uses stored features, and the records it was trained on."""

    trees: Candidate
    features: bytes
    """The feature code, whose view is ``LIVE_VIEW_NAME``."""
    records: pa.Table


def train(prepared: PreparedFlights, features: bytes, progress: Progress = lambda _: None) -> Candidates:
    """Return both models, trained, exported, compared with their exports, and measured.

    Args:
        prepared: the data.
        features: source of the feature code.
        progress: called with one line of text for each thing done.

    Raises:
        ModelError: an export scores otherwise than the model it was made from.
        FeatureViewError, SchemaMismatchError: the view and the data do not fit.
    """
    view = load_view(features, VIEW_NAME)
    parts = _parts(lambda name, months: load_part(prepared, view, name, months))
    progress(" · ".join(f"{part.name}: {len(part.late):,} flights, {part.late.mean():.1%} late" for part in parts))
    source = _data_digest(prepared)
    return Candidates(
        linear=_candidate("linear model", fit_linear, LINEAR_PARAMETERS, view, parts, source, progress),
        trees=_candidate("trees", fit_trees, _TREES_WITH_ROUNDS, view, parts, source, progress),
        features=features,
        records=parts[0].records,
    )


def train_live(
    prepared: PreparedFlights, built: Path, features: bytes, progress: Progress = lambda _: None
) -> LiveCandidate:
    """Return the model with stored features, trained, exported, compared with its export, and measured.

    Args:
        prepared: the data, for its labels.
        built: records of January to November joined with stored features, a partition ``month=2013-MM`` for each.
        features: source of the feature code.
        progress: called with one line of text for each thing done.

    Raises:
        ModelError: the export scores otherwise than the model it was made from.
        FeatureViewError, SchemaMismatchError: the view and the data do not fit.
    """
    view = load_view(features, LIVE_VIEW_NAME)

    def files(months: range) -> list[Path]:
        return [path for month in months for path in sorted((built / f"month=2013-{month:02d}").glob("*.parquet"))]

    parts = _parts(lambda name, months: _part(files(months), prepared.labels, view, name))
    source = _digest_of([*files(TRAINING_MONTHS), prepared.labels])
    trees = _candidate("trees with stored features", fit_trees, _TREES_WITH_ROUNDS, view, parts, source, progress)
    return LiveCandidate(trees, features, parts[0].records)


def _parts(load: Callable[[str, range], Part]) -> list[Part]:
    return [
        load("January to August", TRAINING_MONTHS),
        load("September", VALIDATION_MONTHS),
        load("October and November", HELD_OUT_MONTHS),
    ]


def _candidate(
    name: str,
    fit: Fit,
    parameters: Mapping[str, Any],
    view: FeatureView,
    parts: list[Part],
    source: str,
    progress: Progress,
) -> Candidate:
    started = time.perf_counter()
    exported, native = fit(parts[0], view)
    made = _measured(exported, native, parts, _training(parts[0], source, parameters))
    auc = next(metric for metric in made.metrics if metric.name == "roc_auc")
    progress(f"{name}: AUC {auc.value:.3f} on {auc.data}, trained in {time.perf_counter() - started:.1f} s")
    return made


def load_part(prepared: PreparedFlights, view: FeatureView, name: str, months: range) -> Part:
    """Return the flights of some months whose arrival is known, inputs made by the very code that scores."""
    return _part([prepared.training_file(month) for month in months], prepared.labels, view, name)


def _part(files: Sequence[Path], labels_file: Path, view: FeatureView, name: str) -> Part:
    table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])
    labels = pq.read_table(labels_file)
    late = labels["late"].take(pc.index_in(table["flight_id"], value_set=labels["flight_id"]))
    table = table.append_column("late", late).filter(late.is_valid())
    inputs, kept = training_inputs(view, table)
    table = table.take(pa.array(kept)).combine_chunks()
    (batch,) = inputs.combine_chunks().to_batches()
    matrix = to_tensors(batch, [TensorSpec("features", "float32", tuple(view.inputs))])["features"]
    day = pc.utf8_slice_codeunits(table["flight_id"], 0, len("2013-01-01"))
    return Part(
        name,
        table.drop_columns(["late"]),
        matrix,
        np.array(table["late"].to_pylist()),
        np.array(day.to_pylist()),
    )


Score = Callable[[Array], Array]
Fit = Callable[[Part, FeatureView], tuple[bytes, Score]]


def fit_linear(part: Part, view: FeatureView) -> tuple[bytes, Score]:
    """Return a linear model as ONNX, and its own scoring: (n_rows, n_inputs) -> (n_rows,) P(late)."""
    categories = [view.inputs.index(name) for name in ONE_HOT]
    numbers = [at for at in range(len(view.inputs)) if at not in categories]
    encode = [
        ("one_hot", OneHotEncoder(handle_unknown="ignore"), categories),
        ("scale", StandardScaler(), numbers),
    ]
    model = Pipeline([("encode", ColumnTransformer(encode)), ("classify", LogisticRegression(**LINEAR_PARAMETERS))])
    model.fit(part.matrix, part.late.astype(np.int64))
    exported = skl2onnx.to_onnx(
        model,
        initial_types=[("features", SklearnFloats([None, len(view.inputs)]))],
        options={LogisticRegression: {"zipmap": False}},
        target_opset=ONNX_OPSET,
        name="flight_delay_linear",
    )
    return _canonical(exported), lambda matrix: model.predict_proba(matrix)[:, 1]


def fit_trees(part: Part, view: FeatureView) -> tuple[bytes, Score]:
    """Return boosted trees as ONNX, and their own scoring: (n_rows, n_inputs) -> (n_rows,) P(late)."""
    data = lightgbm.Dataset(part.matrix, part.late.astype(np.float32), params=dict(TREE_PARAMETERS))
    model = lightgbm.train(dict(TREE_PARAMETERS), data, TREES)
    exported = onnxmltools.convert_lightgbm(
        model,
        name="flight_delay_trees",
        initial_types=[("features", LightgbmFloats([None, len(view.inputs)]))],
        zipmap=False,
        target_opset=ONNX_OPSET,
    )
    # onnxmltools states one label whatever the number of rows, and ONNX Runtime would warn in every call.
    exported.graph.output[0].type.tensor_type.shape.dim[0].Clear()
    return _canonical(exported), lambda matrix: np.asarray(model.predict(matrix))


def _canonical(exported: onnx.ModelProto) -> bytes:
    """Return the same bytes for the same model: converters list operator sets in the order of a hash table."""
    opsets = sorted((opset.domain, opset.version) for opset in exported.opset_import)
    del exported.opset_import[:]
    exported.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in opsets)
    data: bytes = exported.SerializeToString(deterministic=True)
    return data


def _measured(exported: bytes, native: Score, parts: list[Part], training: Training) -> Candidate:
    """Return the candidate, measured by its export's scores: they are what will be published.

    Raises:
        ModelError: the export scores otherwise than the native model.
    """
    trained_on, validation, held_out = parts
    output = infer_output(graphs.inspect(exported), "binary", CLASSES)
    scorer = OnnxScorer(exported, output, BLOCK_ROWS)

    def score(part: Part) -> Array:
        return scorer.score_batch({"features": part.matrix})[:, 1]

    chosen_on, scores = score(validation), score(held_out)
    difference = float(np.abs(scores - native(held_out.matrix)).max())
    if not difference <= MAX_DIFFERENCE:
        raise ModelError(
            "the exported model scores otherwise than the model it was made from",
            where=f"{len(scores)} flights of {held_out.name}",
            expected=f"differences up to {MAX_DIFFERENCE:g}",
            got=f"{difference:g}",
            fix="train on float32, the type that the graph computes in",
        )
    threshold = evaluate.choose_threshold(chosen_on, validation.late)
    ranking = performance.Ranking(scores.astype(np.float64), held_out.late, threshold)
    metrics = performance.measure(ranking, held_out.day, data=held_out.name, seed=SEED).figures
    # What the Brier score of anyone would be who says every time how many flights were late in training.
    known_share = float(np.mean((held_out.late - trained_on.late.mean()) ** 2))
    beside = {
        "late_share": float(held_out.late.mean()),
        "brier_of_training_share": known_share,
        "onnx_max_difference": difference,
    }
    metrics += tuple(Metric(name=name, value=value, data=held_out.name) for name, value in beside.items())
    band = evaluate.choose_band(chosen_on, threshold, WATCH)
    return Candidate(exported, threshold, band, metrics, training)


def _training(part: Part, source: str, parameters: Mapping[str, Any]) -> Training:
    days = np.unique(part.day)
    return Training(
        data_sha256=source,
        rows=len(part.late),
        window_start=str(days[0]),
        window_end=str(days[-1]),
        parameters=dict(parameters),
        seed=SEED,
    )


def _data_digest(prepared: PreparedFlights) -> Digest:
    """Return one digest of the training months' files and the labels."""
    return _digest_of([*map(prepared.training_file, TRAINING_MONTHS), prepared.labels])


def _digest_of(files: Sequence[Path]) -> Digest:
    """Return one digest of files by name; a partition is part of it, for names repeat across partitions."""
    return digest.of_json({_name(path): digest.of_bytes(path.read_bytes()) for path in files})


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if "=" in path.parent.name else path.name
