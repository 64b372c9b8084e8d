"""Columns counted by compiled code, and by NumPy: the same integers, on any processor, with or without a compiler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scoretrail import assembly
from scoretrail.errors import DependencyError
from scoretrail.monitor import counting
from scoretrail.monitor.counting import Pass, count_values
from tests.factory.processor import AVAILABLE, pretend

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e-45, 3.4028234663852886e38, -3.4028234663852886e38)


def by_numpy(values: NDArray[Any], edges: tuple[float, ...]) -> Pass:
    return counting._by_numpy(values, edges)


@pytest.fixture
def _fresh() -> Iterator[None]:
    counting._counter.cache_clear()
    yield
    counting._counter.cache_clear()


@st.composite
def columns(draw: st.DrawFn) -> tuple[NDArray[Any], tuple[float, ...]]:
    dtype = draw(st.sampled_from(["float32", "float64"]))
    number = st.one_of(st.sampled_from(SPECIAL), st.floats(-4, 4, width=32))
    values = np.array(draw(st.lists(number, max_size=150)), dtype)
    edges = draw(st.lists(st.floats(-4, 4, width=32), max_size=12, unique=True))
    # An edge that is a value decides by equality.
    edges += [float(value) for value in values[:3] if np.isfinite(value)]
    return values, tuple(sorted(set(edges)))


@given(columns())
def test_compiled_code_counts_what_numpy_counts(given_column: tuple[NDArray[Any], tuple[float, ...]]) -> None:
    values, edges = given_column
    assert counting._counter(str(values.dtype)) is not None

    assert repr(count_values(values, edges)) == repr(by_numpy(values, edges))


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("processor", AVAILABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_processor_counts_alike(processor: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    edges = tuple(float(one) for one in np.sort(random.normal(size=20)).astype(dtype))
    strip_rows = pretend(processor, monkeypatch)
    for rows in (1, strip_rows - 1, strip_rows, strip_rows + 1, 10_007):
        values = random.normal(size=rows).astype(dtype)
        values[random.random(rows) < 0.1] = random.choice(SPECIAL)

        assert repr(count_values(values, edges)) == repr(by_numpy(values, edges))


def test_integers_are_counted_by_numpy() -> None:
    assert count_values(np.array([3, 1, 2]), (1, 2)) == Pass(0, 0, 1, 3, [2, 1])


@pytest.mark.usefixtures("_fresh")
def test_without_a_compiler_the_counts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values, edges = np.array([0.5, np.nan, 2.0, -np.inf]), (0.0, 1.0)
    expected = count_values(values, edges)
    counting._counter.cache_clear()
    monkeypatch.setattr(assembly, "is_installed", lambda: False)

    assert count_values(values, edges) == expected == Pass(1, 1, 0.5, 2.0, [2, 1])
    assert counting._counter("float64") is None


@pytest.mark.usefixtures("_fresh")
def test_where_nothing_can_be_compiled_numpy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise DependencyError("no")

    monkeypatch.setattr(assembly, "compile_here", refuse)

    assert count_values(np.array([0.5]), ()) == Pass(0, 0, 0.5, 0.5, [])
    assert counting._counter("float64") is None


def test_an_array_that_is_not_contiguous_is_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        count_values(np.arange(10, dtype=np.float32)[::2], ())
