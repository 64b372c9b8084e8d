"""The tree kernel against ONNX Runtime itself: ensembles that no converter makes, on rows aimed at every threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoretrail.errors import ModelError
from scoretrail.model.scorer import OnnxSession
from scoretrail.model.trees.ensemble import NotCoveredError
from tests.factory.forest import AGGREGATES, MODES, OPERATORS, TRANSFORMS, Forest, forest_bytes
from tests.factory.kernel import differences, planned

ROWS = 500


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    operator = draw(st.sampled_from(OPERATORS))
    classifier, flat = operator == "TreeEnsembleClassifier", operator == "TreeEnsemble"
    targets = draw(st.integers(2 if classifier else 1, 5))
    weighted = draw(st.lists(st.integers(0, targets - 1), min_size=1, max_size=targets, unique=True))
    leaves = draw(st.sampled_from([1, 2, 3, 31, 32, 33, 64, 65, 257]))
    return Forest(
        operator=operator,  # type: ignore[arg-type]
        trees=draw(st.sampled_from([1, 2, 3, 17])),
        leaves=max(leaves, 2) if flat else leaves,
        features=draw(st.sampled_from([1, 3, 8])),
        modes=tuple(draw(st.lists(st.sampled_from(MODES), min_size=1, max_size=3))),
        missing=draw(st.booleans()),
        targets=targets,
        weighted=tuple(sorted(weighted)),
        spread=draw(st.booleans()),
        positive=draw(st.booleans()),
        base=0 if flat else draw(st.sampled_from([0, targets] + [1, 2] * (targets == 2 and classifier))),
        aggregate="SUM" if classifier else draw(st.sampled_from(AGGREGATES)),
        transform=draw(st.sampled_from(TRANSFORMS)),
        dtype=draw(st.sampled_from(["float32", "float64", *(["int64"] if classifier else [])])),
        balanced=draw(st.booleans()),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(forest=forests(), seed=st.integers(0, 2**32 - 1))
def test_what_the_kernel_covers_has_the_bits_of_onnx_runtime(forest: Forest, seed: int) -> None:
    try:
        compared, different = differences(forest, seed, ROWS)
    except NotCoveredError:
        return  # how much is covered, the next test tells
    assert (compared, different) == (ROWS, 0)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(
    "shape",
    [
        {"weighted": (0,)},
        {"weighted": (0,), "positive": True},
        {"weighted": (0,), "base": 1},
        {"weighted": (1,)},
        {"weighted": (0, 1), "base": 2},
        {"targets": 3, "spread": True, "trees": 9, "base": 3},
        {"targets": 4, "weighted": (0, 1, 2, 3), "leaves": 40},
        {"missing": True, "modes": MODES},
        {"dtype": "int64", "modes": MODES},
        {"operator": "TreeEnsembleRegressor", "targets": 1, "base": 1},
        {"operator": "TreeEnsembleRegressor", "targets": 3, "weighted": (0, 1, 2), "aggregate": "MIN"},
        {"operator": "TreeEnsembleRegressor", "targets": 3, "weighted": (0, 2), "aggregate": "AVERAGE", "base": 3},
        {"operator": "TreeEnsemble", "targets": 1, "aggregate": "MAX", "leaves": 257},
        {"operator": "TreeEnsemble", "targets": 3, "spread": True, "missing": True, "modes": MODES},
    ],
    ids=str,
)
def test_what_converters_write_is_covered(shape: dict[str, Any], transform: str) -> None:
    assert differences(Forest(**{**shape, "transform": transform}), 3, 2_000) == (2_000, 0)


def random_forest(random: np.random.Generator) -> Forest:
    operator = str(random.choice(OPERATORS))
    classifier, flat = operator == "TreeEnsembleClassifier", operator == "TreeEnsemble"
    targets = int(random.choice([2, 2, 3, 5] if classifier else [1, 1, 2, 3]))
    return Forest(
        operator=operator,  # type: ignore[arg-type]
        trees=int(random.choice([1, 3, 17, 60])),
        leaves=int(random.choice([2, 8, 31, 33, 64, 100, 257])),
        features=int(random.choice([1, 3, 8])),
        modes=tuple(random.choice(MODES, int(random.integers(1, 4))).tolist()),
        missing=bool(random.random() < 0.5),
        targets=targets,
        weighted=tuple(range(targets)) if random.random() < 0.7 or flat else (0,),
        spread=bool(random.random() < 0.4) and not flat,
        positive=bool(random.random() < 0.4),
        base=0 if flat else int(random.choice([0, targets])),
        aggregate="SUM" if classifier else str(random.choice(AGGREGATES)),
        transform=str(random.choice(TRANSFORMS)),
        dtype=str(random.choice(["float32", "float32", "float64"])),  # type: ignore[arg-type]
        balanced=bool(random.random() < 0.5),
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_row_of_a_hundred_million_differs() -> None:
    random, compared = np.random.default_rng(2018), 0
    while compared < 100_000_000:
        forest = random_forest(random)
        try:
            rows, different = differences(forest, int(random.integers(2**32)), 400_000)
        except NotCoveredError:
            continue
        assert different == 0, forest
        compared += rows


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_double_precision_is_covered(aggregate: str) -> None:
    forest = Forest(operator="TreeEnsembleRegressor", targets=1, aggregate=aggregate, dtype="float64", trees=30)

    assert differences(forest, 5, 2_000) == (2_000, 0)


def test_what_onnx_runtime_refuses_is_not_scored_otherwise() -> None:
    forest = Forest(operator="TreeEnsembleRegressor", targets=3, base=2)
    with pytest.raises(ModelError):
        OnnxSession(forest_bytes(forest, 0), None)
    with pytest.raises(NotCoveredError, match="2 base values for 3 targets"):
        planned(forest)


def test_sums_overflow_as_they_do_there() -> None:
    huge = {"class_weights": [float(np.float32(3e38))] * 16}

    assert differences(Forest(trees=4, leaves=4, transform="SOFTMAX", changed=huge), 1, 500) == (500, 0)
