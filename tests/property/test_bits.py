"""Equal bits: a row's score does not depend on the size of its batch, its place in it, or its company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.feature.tensor import to_tensors
from scoretrail.model.bundle import Bundle, bits_of
from scoretrail.model.scorer import OnnxScorer
from scoretrail.scoring import score_batch
from tests.factory import example
from tests.factory.example import ROWS
from tests.factory.registered import load_example

LINEAR = {"linear", "classes", "ridge"}
SLOW_ROWS = 1_000
"""Of models with a ZipMap, whose dictionaries take a millisecond for each block."""
RECORD = example.parcels().combine_chunks().to_batches()[0]


@pytest.fixture(scope="module", params=example.ALL)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_example(example.ALL[request.param]())


def features_of(bundle: Bundle) -> pa.RecordBatch:
    rows = SLOW_ROWS if bundle.manifest.output.form == "zipmap" else ROWS
    return bundle.view.derive(bundle.view.prepare(RECORD.slice(0, rows))[0])[0]


def in_batches(bundle: Bundle, features: pa.RecordBatch, size: int) -> Any:
    parts = [bundle.raw_scores(features.slice(at, size)) for at in range(0, features.num_rows, size)]
    return bits_of(np.concatenate(parts))


@pytest.mark.parametrize("size", [1, 7, 1_000, 10_000])
def test_batches_of_any_size_give_the_same_bits(bundle: Bundle, size: int) -> None:
    features = features_of(bundle)
    whole = bits_of(bundle.raw_scores(features))
    rows = features.num_rows // 10 if size == 1 else features.num_rows

    np.testing.assert_array_equal(in_batches(bundle, features.slice(0, rows), size), whole[:rows])


def test_another_order_gives_the_same_bits(bundle: Bundle) -> None:
    features = features_of(bundle)
    order = np.random.default_rng(1).permutation(features.num_rows)

    mixed = bits_of(bundle.raw_scores(features.take(pa.array(order))))

    np.testing.assert_array_equal(mixed, bits_of(bundle.raw_scores(features))[order])


def test_each_model_gives_different_rows_different_scores(bundle: Bundle) -> None:
    """The control: comparing bits would show nothing if all of them were the same."""
    assert len(np.unique(bits_of(bundle.raw_scores(features_of(bundle))), axis=0)) > 20


def test_without_blocks_linear_models_do_differ() -> None:
    """The control: what the blocks are for. Which rows differ is up to the processor."""
    differing = 0
    for name in LINEAR:
        proper = load_example(example.ALL[name]())
        assert proper.manifest.block == 1024
        free = replace(
            proper, scorer=OnnxScorer(example.ALL[name]().onnx, proper.manifest.output, None, proper.manifest.tensors)
        )
        features = features_of(proper)
        whole = bits_of(free.raw_scores(features))[:1_000]
        differing += int((in_batches(free, features.slice(0, 1_000), 1) != whole).any(axis=1).sum())
    assert differing > 0


# --- The whole of scoring, in any company -----------------------------------------------------------------------------

WHOLE = RECORD.slice(0, 600)


def fields(scored: Any) -> dict[str, list[Any]]:
    names = ("score", "label", "decision", "guard")
    columns = {name: getattr(scored, name).to_pylist() for name in names}
    columns["score"] = [np.float64(value).tobytes() for value in columns["score"]]
    for i, column in enumerate(scored.class_scores):
        columns[f"class {i}"] = [np.float64(value).tobytes() for value in column.to_pylist()]
    return columns


@given(rows=st.lists(st.integers(0, WHOLE.num_rows - 1), max_size=300), start=st.integers(0, 299))
@pytest.mark.parametrize("name", ["linear", "classes", "ridge", "trees", "one-hot-pipeline"])
def test_a_row_is_scored_and_decided_alike_in_any_company(name: str, rows: list[int], start: int) -> None:
    """Also where rows come twice, and where the batch is a slice with an offset."""
    bundle = load_example(example.ALL[name]())
    known = fields(score_batch(bundle, WHOLE)[0])
    batch = WHOLE.take(pa.array(rows, pa.int64()))
    batch, rows = batch.slice(start), rows[start:]

    scored, rejected = score_batch(bundle, batch)

    assert len(rejected.rows) == 0
    assert scored.rows.tolist() == list(range(len(rows)))
    assert fields(scored) == {key: [values[row] for row in rows] for key, values in known.items()}


@given(position=st.integers(0, 599), copies=st.integers(1, 600))
def test_what_fills_the_last_block_does_not_matter(position: int, copies: int) -> None:
    bundle = load_example(example.linear())
    features = bundle.view.derive(bundle.view.prepare(WHOLE)[0])[0]
    alone = bundle.raw_scores(features.slice(position, 1))

    among = bundle.raw_scores(features.take(pa.array([position] * copies)))

    assert (bits_of(among) == bits_of(alone)).all()
    assert to_tensors(features.slice(position, 1), bundle.manifest.tensors)["matrix"].shape == (1, 4)
