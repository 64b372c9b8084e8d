"""The demo's models on a part of the real flights: what they see, and that the export is the model."""

import numpy as np
import onnx
import onnxruntime
import pyarrow.parquet as pq
import pytest

from examples.flights import train as module
from examples.flights.prepare import PreparedFlights
from examples.flights.train import Candidates, Part, load_part, train
from scoretrail.errors import ModelError
from scoretrail.feature import FeatureView
from scoretrail.model import graph
from tests.unit.examples.conftest import Source


@pytest.fixture(scope="module")
def candidates(prepared: PreparedFlights, features: bytes) -> Candidates:
    return train(prepared, features)


@pytest.fixture(scope="module")
def part(prepared: PreparedFlights, view: FeatureView) -> Part:
    return load_part(prepared, view, "January to August", range(1, 9))


def test_a_part_holds_the_landed_flights_of_its_months(source: Source, part: Part, view: FeatureView) -> None:
    landed = [row for row in source.rows if int(row["month"]) <= 8 and row["arr_delay"] != "NA"]
    assert len(part.late) == part.records.num_rows == len(part.matrix) == len(part.day) == len(landed)
    assert part.late.mean() == np.mean([int(row["arr_delay"]) >= 15 for row in landed])
    assert set(part.day) == {f"2013-{int(row['month']):02d}-{int(row['day']):02d}" for row in landed}
    assert part.matrix.dtype == np.float32
    assert part.matrix.shape[1] == len(view.inputs)


def test_rows_labels_and_inputs_belong_together(prepared: PreparedFlights, part: Part, view: FeatureView) -> None:
    labels = dict(zip(*(column.to_pylist() for column in pq.read_table(prepared.labels).columns), strict=True))
    flights = part.records["flight_id"].to_pylist()
    assert part.late.tolist() == [labels[flight] for flight in flights]
    minutes = [int(flight[-4:-2]) * 60 + int(flight[-2:]) for flight in flights]
    assert part.matrix[:, view.inputs.index("dep_minute")].tolist() == minutes


def test_the_records_say_nothing_of_the_label(part: Part, view: FeatureView) -> None:
    assert part.records.column_names == list(view.record_columns)


def test_an_export_repeats_its_bytes(candidates: Candidates, part: Part, view: FeatureView) -> None:
    assert module.fit_linear(part, view)[0] == candidates.linear.onnx
    assert module.fit_trees(part, view)[0] == candidates.trees.onnx


def test_operator_sets_are_in_one_order(candidates: Candidates) -> None:
    """Converters list them as a hash table does, in another order in every other process."""
    for candidate in (candidates.linear, candidates.trees):
        domains = [opset.domain for opset in onnx.load_from_string(candidate.onnx).opset_import]
        assert domains == ["", "ai.onnx.ml"]


def test_exports_score_as_the_models_and_better_than_chance(candidates: Candidates) -> None:
    for candidate in (candidates.linear, candidates.trees):
        value = {metric.name: metric.value for metric in candidate.metrics}
        assert value["onnx_max_difference"] <= module.MAX_DIFFERENCE
        assert value["roc_auc"] > 0.55
        assert value["pr_auc"] > value["late_share"]
        assert 0 < candidate.band.low <= candidate.threshold < candidate.band.high < 1


def test_an_export_of_another_model_is_refused(
    prepared: PreparedFlights, features: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = module.fit_linear

    def other(part: Part, view: FeatureView) -> tuple[bytes, module.Score]:
        exported, native = fit(part, view)
        return exported, lambda matrix: native(matrix) + np.where(matrix[:, 0] == 11, 2e-5, 0)

    monkeypatch.setattr(module, "fit_linear", other)
    with pytest.raises(ModelError, match="scores otherwise"):
        train(prepared, features)


def test_both_have_one_contract(candidates: Candidates) -> None:
    linear, trees = (graph.inspect(candidate.onnx) for candidate in (candidates.linear, candidates.trees))
    assert linear.inputs == trees.inputs
    assert linear.classes == trees.classes == ("0", "1")
    assert (linear.is_trees_only, trees.is_trees_only) == (False, True)


def warnings_of(model: bytes, capfd: pytest.CaptureFixture[str]) -> str:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, {"features": np.ones((3, 8), np.float32)})
    return capfd.readouterr().err


def test_no_call_warns(candidates: Candidates, capfd: pytest.CaptureFixture[str]) -> None:
    assert warnings_of(candidates.linear.onnx, capfd) == ""
    assert warnings_of(candidates.trees.onnx, capfd) == ""
    as_converted = onnx.load_from_string(candidates.trees.onnx)
    as_converted.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert "shape" in warnings_of(as_converted.SerializeToString(), capfd)


def test_the_training_is_stated(candidates: Candidates, part: Part) -> None:
    for candidate in (candidates.linear, candidates.trees):
        stated = candidate.training
        assert (stated.window_start, stated.window_end) == ("2013-01-09", "2013-08-10")
        assert stated.rows == len(part.late)
        assert stated.seed == module.SEED
    assert candidates.trees.training.parameters["num_boost_round"] == module.TREES


def test_the_data_digest_follows_the_data(prepared: PreparedFlights, candidates: Candidates) -> None:
    assert candidates.linear.training.data_sha256 == candidates.trees.training.data_sha256
    before = prepared.labels.read_bytes()
    try:
        prepared.labels.write_bytes(before + b" ")
        assert module._data_digest(prepared) != candidates.linear.training.data_sha256
    finally:
        prepared.labels.write_bytes(before)
    assert module._data_digest(prepared) == candidates.linear.training.data_sha256
