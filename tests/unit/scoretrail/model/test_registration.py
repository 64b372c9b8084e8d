from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from scoretrail import digest
from scoretrail.config import BudgetSettings
from scoretrail.errors import (
    BundleError,
    FeatureViewError,
    LimitExceededError,
    ModelError,
    RegistryError,
    SchemaMismatchError,
    ScoretrailError,
    UsageError,
)
from scoretrail.feature.source import load_view
from scoretrail.model import graph as graphs
from scoretrail.model import profile as profiles
from scoretrail.model import registration
from scoretrail.model.bundle import open_bundle
from scoretrail.model.graph import Graph, GraphTensor
from scoretrail.model.manifest import FEATURES, GOLDEN, MODEL, Guards, Output
from scoretrail.model.profile import Measured
from scoretrail.model.registration import check_step, infer_output, register
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example
from tests.factory.altered import with_one_bit_changed
from tests.factory.bare import NOW, bare_bundle
from tests.factory.fixture import Register
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out, sigmoid_network
from tests.factory.registered import PROOF_ROWS, Registered, request
from tests.factory.trip import trip_records, trips_example

RECORDS = example.parcels().slice(0, PROOF_ROWS)
LAST = (BudgetSettings(), NOW)


@pytest.fixture
def storage() -> Storage:
    return Storage("memory://")


@pytest.fixture
def registry(storage: Storage) -> Registry:
    return Registry(storage, NOW)


def refused(registry: Registry, cls: type[ScoretrailError], **changes: Any) -> ScoretrailError:
    """Return why a changed registration of the linear example is refused; nothing may be written."""
    with pytest.raises(cls) as caught:
        register(registry, request(example.linear(), **changes), BudgetSettings(), NOW)
    assert registry.models() == []
    return caught.value


def column(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(place).type))


# --- What is registered -----------------------------------------------------------------------------------------------


def test_the_manifest_states_what_was_given_found_and_measured(registered_linear: Registered) -> None:
    manifest, files = registered_linear.manifest, registered_linear.resolved.files

    assert (manifest.name, manifest.version, manifest.created_at) == (
        "parcel-linear",
        "1.0.0",
        "2013-12-01T12:00:00.000000Z",
    )
    assert manifest.output == Output(task="binary", name="probabilities", form="matrix", classes=("0", "1"))
    assert (manifest.threshold, manifest.block) == (0.5, 1024)
    assert manifest.files == {name: digest.of_bytes(files[name]) for name in (MODEL, FEATURES, GOLDEN)}
    assert files[MODEL] == example.linear().onnx
    assert files[FEATURES] == example.NUMBER_VIEW
    assert registered_linear.resolved.manifest == manifest


def test_golden_rows_are_spread_over_the_records(registered_linear: Registered) -> None:
    rows = pq.read_table(io.BytesIO(registered_linear.resolved.files[GOLDEN]))["parcel_id"].to_pylist()

    assert len(rows) == len(set(rows)) == 256
    assert (rows[0], rows[-1]) == ("p000000", f"p{PROOF_ROWS - 1:06d}")


def test_trees_run_at_any_size_and_all_else_in_blocks(
    registered_trees: Registered, registered_pipeline: Registered
) -> None:
    assert registered_trees.manifest.block is None
    assert registered_trees.manifest.engine.name == "trees", registered_trees.manifest.engine.reason
    assert registered_pipeline.manifest.block == registration.SMALL_BLOCK_ROWS == 1024
    assert [(spec.name, spec.dtype) for spec in registered_pipeline.manifest.tensors] == [
        ("carrier", "string"),
        ("n_items", "int64"),
        ("weight_kg", "float32"),
    ]


@pytest.mark.integration
@pytest.mark.parametrize("make", example.ALL.values(), ids=example.ALL)
def test_every_kind_of_model_is_registered_resolved_and_opened(registered: Register, make: Any) -> None:
    chosen = make()

    made = registered(chosen)
    opened = open_bundle(made.resolved.files)

    assert opened.repeats_bits
    assert (opened.manifest.output.task, opened.manifest.output.classes) == (chosen.task, chosen.classes)
    assert opened.manifest.block == (None if graphs.inspect(chosen.onnx).is_trees_only else 1024)
    assert made.registry.aliases(chosen.name) == {"champion": "1.0.0"}


# --- Refused: the version ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"name": "No name"}, {"version": "1.0"}])
def test_a_name_or_version_that_is_none_is_refused(registry: Registry, changes: dict[str, str]) -> None:
    refused(registry, RegistryError, **changes)


def test_a_version_that_exists_is_refused(registered_linear: Registered) -> None:
    with pytest.raises(RegistryError, match="exists already, and versions are immutable"):
        registered_linear.registry.publish(registered_linear.manifest, registered_linear.resolved.files)


@pytest.mark.parametrize(
    ("before", "now", "changes", "said", "fix"),
    [
        ("1.0.0", "1.0.1", {"operators": ("ai.onnx:MatMul",)}, "the contract changed", "register it as 2.0.0"),
        ("1.0.0", "1.1.0", {"operators": ("ai.onnx:MatMul",)}, "the contract changed", "register it as 2.0.0"),
        ("1.2.3", "1.2.4", {"threshold": 0.6}, "scores or decisions change", "register it as 1.3.0"),
        ("1.2.3", "1.2.4", {"guards": Guards(cap_maximum=1)}, "scores or decisions change", "register it as 1.3.0"),
        ("1.2.3", "1.2.4", {"model": b"another"}, "scores or decisions change", "register it as 1.3.0"),
        ("1.2.3", "1.2.4", {"block": None}, "scores or decisions change", "register it as 1.3.0"),
        ("1.2.3", "1.2.4", {"scoring_version": 2}, "scores or decisions change", "register it as 1.3.0"),
    ],
)
def test_a_version_step_that_lies_is_refused(
    registry: Registry, before: str, now: str, changes: dict[str, Any], said: str, fix: str
) -> None:
    registry.publish(*bare_bundle(before))

    with pytest.raises(RegistryError, match=said) as caught:
        check_step(registry, bare_bundle(now, **changes)[0])
    assert caught.value.where == f"parcel-linear {before} to {now}"
    assert caught.value.fix == fix


def test_the_changed_part_of_the_contract_is_named(registry: Registry) -> None:
    registry.publish(*bare_bundle("1.0.0"))

    with pytest.raises(RegistryError) as caught:
        check_step(registry, bare_bundle("1.1.0", operators=(), tensors=())[0])
    assert caught.value.got == "changed: tensors, operators"


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        (["1.0.0"], "2.0.0", {"operators": ("ai.onnx:MatMul",), "model": b"another"}),
        (["1.0.0"], "1.1.0", {"model": b"another", "threshold": 0.6}),
        (["1.0.0"], "1.0.1", {"created_at": "2014-01-01T00:00:00.000000Z", "metrics": ()}),
        ([], "1.0.1", {"model": b"another"}),
        (["2.0.0"], "1.0.0", {"operators": ()}),
        (["1.0.0", "2.0.0"], "1.0.1", {}),
    ],
)
def test_an_honest_step_is_accepted(registry: Registry, before: list[str], now: str, changes: dict[str, Any]) -> None:
    for version in before:
        registry.publish(*bare_bundle(version))

    check_step(registry, bare_bundle(now, **changes)[0])


def test_a_step_is_judged_against_the_next_lower_version_only(registry: Registry) -> None:
    registry.publish(*bare_bundle("1.0.0"))
    registry.publish(*bare_bundle("1.1.0", model=b"another"))

    check_step(registry, bare_bundle("1.0.1")[0])
    with pytest.raises(RegistryError, match=r"1\.1\.0 to 1\.1\.1"):
        check_step(registry, bare_bundle("1.1.1")[0])


def test_after_our_own_code_changed_bits_the_model_can_be_registered_again(registry: Registry) -> None:
    registry.publish(*bare_bundle("1.0.0", scoring_version=0))

    check_step(registry, bare_bundle("1.1.0")[0])


def test_a_lying_step_is_refused_before_anything_is_measured(
    registered_linear: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "measure", None)

    with pytest.raises(RegistryError, match="scores or decisions change"):
        register(
            registered_linear.registry,
            request(example.linear(), "1.0.1", threshold=0.7),
            BudgetSettings(),
            NOW,
        )
    assert registered_linear.registry.versions("parcel-linear") == ["1.0.0"]


# --- Refused: the model -----------------------------------------------------------------------------------------------


def test_a_model_that_is_none_is_refused(registry: Registry) -> None:
    assert refused(registry, ModelError, onnx=b"no model").what.startswith("the model file is not ONNX")


def test_data_outside_the_file_are_refused(registry: Registry) -> None:
    model = onnx.load_from_string(sigmoid_network())
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")

    assert refused(registry, ModelError, onnx=model.SerializeToString()).what == "the model keeps data outside its file"


def test_a_foreign_operator_domain_is_refused(registry: Registry) -> None:
    node = helper.make_node("Inverse", ["matrix"], ["scores"], domain="com.microsoft")
    data = model_bytes([node], [matrix_in(4)], [scores_out(1)], domains=("com.microsoft",))

    assert refused(registry, ModelError, onnx=data).got == "com.microsoft"


@pytest.mark.parametrize(
    ("onnx", "said"),
    [
        (sigmoid_network(width=5), "the model's input has another width than the view"),
        (example.one_hot_pipeline, "the model's inputs are not the view's"),
    ],
)
def test_inputs_that_do_not_match_the_view_are_refused(registry: Registry, onnx: Any, said: str) -> None:
    assert refused(registry, ModelError, onnx=onnx if isinstance(onnx, bytes) else onnx().onnx).what == said


def across_rows() -> bytes:
    """Return a model that subtracts the batch's mean: each row's score depends on its company."""
    axis = numpy_helper.from_array(np.array([0]), "axis")
    nodes = [
        helper.make_node("ReduceMean", ["matrix", "axis"], ["mean"]),
        helper.make_node("Sub", ["matrix", "mean"], ["centred"]),
        helper.make_node("ReduceSum", ["centred", "last"], ["scores"]),
    ]
    return model_bytes(nodes, [matrix_in(4)], [scores_out(1)], [axis, numpy_helper.from_array(np.array([1]), "last")])


def random_noise() -> bytes:
    nodes = [
        helper.make_node("RandomNormalLike", ["matrix"], ["noise"], dtype=TensorProto.FLOAT),
        helper.make_node("Add", ["matrix", "noise"], ["sum"]),
        helper.make_node("ReduceSum", ["sum", "last"], ["scores"]),
    ]
    return model_bytes(nodes, [matrix_in(4)], [scores_out(1)], [numpy_helper.from_array(np.array([1]), "last")])


@pytest.mark.parametrize("make", [across_rows, random_noise])
def test_a_model_whose_rows_depend_on_their_company_or_on_chance_is_refused(registry: Registry, make: Any) -> None:
    error = refused(registry, ModelError, onnx=make(), task="regression")

    assert error.what == "the model's bits depend on the company a row is scored in"
    assert error.where == "blocks of 1024 rows"


def test_golden_rows_that_do_not_repeat_in_a_fresh_process_are_refused(registered_linear: Registered) -> None:
    files = with_one_bit_changed(registered_linear.resolved.files)
    kept = {name: files[name] for name in (MODEL, FEATURES, GOLDEN)}
    hashes = {name: digest.of_bytes(data) for name, data in kept.items()}
    draft = registered_linear.manifest.model_copy(update={"files": hashes})

    with pytest.raises(ModelError, match="golden rows do not repeat in a fresh process") as caught:
        registration._profile(draft, kept, BudgetSettings())
    assert caught.value.got == "1 rows with other bits"


@pytest.mark.parametrize("name", ["max_bundle_mib", "max_load_s", "max_peak_memory_mib", "max_p99_ms"])
def test_a_profile_above_the_budget_is_refused_by_name(
    registered_linear: Registered, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was measured stands in for measuring it four times more."""
    known = registered_linear.manifest.profile
    measured = Measured(
        load_s=known.load_s,
        peak_memory_bytes=known.peak_memory_bytes,
        p50_ms=known.p50_ms,
        p95_ms=known.p95_ms,
        p99_ms=known.p99_ms,
        golden_differences=0,
        cpu=known.cpu,
    )
    monkeypatch.setattr(profiles, "measure", lambda files: measured)
    files = {name: registered_linear.resolved.files[name] for name in (MODEL, FEATURES, GOLDEN)}

    assert registration._profile(registered_linear.manifest, files, BudgetSettings()) == known
    with pytest.raises(LimitExceededError, match="the bundle is above the budget") as caught:
        registration._profile(registered_linear.manifest, files, BudgetSettings(**{name: 1e-6}))
    assert caught.value.where == f"registry.budget.{name}"
    assert caught.value.exit_code == 70


# --- Refused: features, records and golden rows -----------------------------------------------------------------------


def test_feature_code_that_imports_what_it_may_not_is_refused(registry: Registry) -> None:
    error = refused(registry, FeatureViewError, features=b"import os\n" + example.NUMBER_VIEW)

    assert error.what == "feature code may not import os"


def test_a_view_that_is_not_there_is_refused(registry: Registry) -> None:
    assert refused(registry, FeatureViewError, view_name="parcel").fix == "did you mean parcels?"


@pytest.mark.parametrize(
    "body",
    [
        "pc.subtract(record.column('weight_kg'), pc.cast(pc.mean(record.column('weight_kg')), pa.float32()))",
        "pc.cast(pa.array(range(record.num_rows)), pa.float32())",
        "pa.array([float(record.num_rows)] * record.num_rows, pa.float32())",
        "pc.cast(pc.random(record.num_rows), pa.float32())",
        "pc.cast(pc.rank(record.column('weight_kg')), pa.float32())",
    ],
)
def test_a_derived_feature_that_looks_across_rows_is_refused(registry: Registry, body: str) -> None:
    start = example.NUMBER_VIEW.index(b"    return pc.divide")
    end = example.NUMBER_VIEW.index(b"\n", start)
    features = example.NUMBER_VIEW[:start] + f"    return {body}".encode() + example.NUMBER_VIEW[end:]

    error = refused(registry, FeatureViewError, features=features)

    assert error.what == "feature 'density' depends on the other rows of the batch"


def test_a_name_that_golden_rows_use_is_refused(registry: Registry) -> None:
    features = example.NUMBER_VIEW.replace(b"height_m", b"golden_score_0")

    error = refused(registry, FeatureViewError, features=features)

    assert error.what == "names that begin with 'golden_score_' are reserved"


@pytest.mark.parametrize(
    ("records", "cls", "said"),
    [
        (RECORDS.slice(0, 0), BundleError, "there are no records to prove the model on"),
        (column(RECORDS, "weight_kg", [5000.0] * PROOF_ROWS), BundleError, "the view refuses every record"),
        (RECORDS.drop_columns(["weight_kg"]), SchemaMismatchError, "column 'weight_kg' is missing"),
        (column(RECORDS, "height_m", [-1.0] * PROOF_ROWS), BundleError, "the view refuses every record"),
    ],
)
def test_records_that_prove_nothing_are_refused(
    registry: Registry, records: pa.Table, cls: type[ScoretrailError], said: str
) -> None:
    """The last: dividing by 1 + height makes every density infinite."""
    assert refused(registry, cls, records=records).what.startswith(said)


@pytest.mark.parametrize(
    ("golden", "said", "where"),
    [
        (RECORDS.slice(0, 0), "there are no golden rows", None),
        (
            column(RECORDS.slice(0, 3), "weight_kg", [1.0, 5000.0, 2.0]),
            "golden rows break the view's contract",
            "weight_kg, row 1",
        ),
        (
            column(RECORDS.slice(0, 3), "height_m", [1.0, 1.0, -1.0]),
            "golden rows break the view's contract",
            "density, row 2",
        ),
    ],
)
def test_golden_rows_that_break_the_view_are_refused(
    registry: Registry, golden: pa.Table, said: str, where: str | None
) -> None:
    error = refused(registry, BundleError, golden=golden)

    assert (error.what, error.where) == (said, where)


def test_golden_rows_may_be_given() -> None:
    view = load_view(example.NUMBER_VIEW, "parcels")

    table = registration._golden(view, RECORDS.slice(7, 3))

    assert table["parcel_id"].to_pylist() == ["p000007", "p000008", "p000009"]


def test_many_records_are_thinned_out_evenly() -> None:
    view = load_view(example.NUMBER_VIEW, "parcels")
    many = pa.concat_tables([example.parcels()] * 3)

    assert registration._proof_records(view, many).num_rows == registration.PROOF_ROWS
    assert registration._evenly(example.parcels(), 3)["parcel_id"].to_pylist() == ["p000000", "p004999", "p009999"]


def test_records_that_the_view_refuses_are_left_out_of_the_proof() -> None:
    view = load_view(example.NUMBER_VIEW, "parcels")
    some = column(RECORDS.slice(0, 4), "weight_kg", [5000.0, 1.0, 2.0, 3.0])
    some = column(some, "height_m", [1.0, -1.0, 1.0, 1.0])

    assert registration._proof_records(view, some)["parcel_id"].to_pylist() == ["p000002", "p000003"]


# --- The output -------------------------------------------------------------------------------------------------------


def graph(classes: tuple[str, ...], *outputs: GraphTensor) -> Graph:
    return Graph((), outputs, (), classes, is_trees_only=False)


LABEL = GraphTensor("label", "int64", None, 1)


def probabilities(width: int | None) -> GraphTensor:
    return GraphTensor("probabilities", "float32", width, 2)


@pytest.mark.parametrize(
    ("found", "task", "classes", "expected"),
    [
        (graph(("0", "1"), LABEL, probabilities(2)), None, (), ("binary", "matrix", ("0", "1"))),
        (graph(("a", "b", "c"), LABEL, probabilities(3)), None, (), ("multiclass", "matrix", ("a", "b", "c"))),
        (graph((), probabilities(1)), None, (), ("regression", "matrix", ())),
        (graph((), probabilities(None)), None, (), ("regression", "matrix", ())),
        (graph((), probabilities(1)), "binary", (), ("binary", "matrix", ("0", "1"))),
        (graph((), probabilities(2)), None, ("no", "yes"), ("binary", "matrix", ("no", "yes"))),
        (graph(("0", "1"), probabilities(2)), None, ("no", "yes"), ("binary", "matrix", ("no", "yes"))),
        (graph(("0", "1"), probabilities(1)), "regression", (), ("regression", "matrix", ())),
        (
            graph(("0", "1"), LABEL, GraphTensor("probabilities", "zipmap", None, 1)),
            None,
            (),
            ("binary", "zipmap", ("0", "1")),
        ),
    ],
)
def test_the_output_follows_from_the_graph_or_from_what_is_said(
    found: Graph, task: Any, classes: tuple[str, ...], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    output = infer_output(found, task, classes)

    assert (output.task, output.form, output.classes) == expected
    assert output.name == "probabilities"


@pytest.mark.parametrize(
    ("found", "task", "classes", "said"),
    [
        (graph(("0", "1"), LABEL), None, (), "no output that can hold scores"),
        (graph((), probabilities(2)), None, (), "a regressor has one value per row"),
        (graph((), GraphTensor("p", "zipmap", None, 1)), None, (), "a regressor has one value per row"),
        (graph((), probabilities(3)), "multiclass", (), "the classes of a multiclass classifier are not known"),
        (graph(("0", "1", "2"), probabilities(3)), "binary", (), "the classes of a binary classifier are not known"),
        (graph(("0", "1"), probabilities(2)), "multiclass", (), "the classes of a multiclass classifier are not known"),
        (graph(("0",), probabilities(1)), None, (), "the classes of a multiclass classifier are not known"),
    ],
)
def test_an_output_that_cannot_become_scores_is_refused(
    found: Graph, task: Any, classes: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        infer_output(found, task, classes)


def test_every_example_is_understood_without_being_told() -> None:
    for make in example.ALL.values():
        chosen = make()
        output = infer_output(graphs.inspect(chosen.onnx), None, ())
        assert (output.task, output.classes) == (chosen.task, chosen.classes), chosen.name


def test_a_binary_classifier_decides_from_one_half_on_unless_it_is_told_another_threshold() -> None:
    binary = Output(task="binary", name="p", form="matrix", classes=("0", "1"))

    assert registration._threshold(request(example.linear()), binary) == 0.5
    assert registration._threshold(request(example.linear(), threshold=0.0), binary) == 0.0
    assert registration._threshold(request(example.ridge()), Output(task="regression", name="v", form="matrix")) is None


def test_a_threshold_belongs_to_a_binary_classifier_and_is_finite(registry: Registry) -> None:
    with pytest.raises(UsageError, match="a threshold belongs to a binary classifier"):
        register(registry, request(example.ridge(), threshold=0.5), BudgetSettings(), NOW)
    assert refused(registry, UsageError, threshold=float("nan")).what == "a threshold must be finite"


# --- Stored features --------------------------------------------------------------------------------------------------


def stored_request(**changes: Any) -> Any:
    return request(trips_example(), **({"records": trip_records(PROOF_ROWS)} | changes))


def test_a_model_with_stored_features_is_registered_and_its_golden_rows_hold_them(registry: Registry) -> None:
    manifest, _ = register(registry, stored_request(), *LAST)

    files = registry.resolve("models:/trips/1.0.0").files
    golden = pq.read_table(io.BytesIO(files[GOLDEN]))
    assert golden.column_names[:-1] == [*trip_records().column_names]
    assert manifest.view["stored"][0]["name"] == "weather"
    assert open_bundle(files).repeats_bits


def test_records_whose_stored_values_are_refused_prove_nothing(registry: Registry) -> None:
    late = column(trip_records(PROOF_ROWS), "vehicle__available_at", [2**60] * PROOF_ROWS)
    with pytest.raises(BundleError, match="refuses every record") as caught:
        register(registry, stored_request(records=late), *LAST)
    assert caught.value.got == "stored_future"


def test_a_model_with_stored_features_needs_them_in_its_records(registry: Registry) -> None:
    bare = trip_records(PROOF_ROWS).drop_columns(["wind"])
    with pytest.raises(SchemaMismatchError, match="column 'wind' is missing"):
        register(registry, stored_request(records=bare), *LAST)
