"""A plan made from a model, where the kernel covers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scoretrail.model.trees.attribute import read
from scoretrail.model.trees.cut import cut
from scoretrail.model.trees.ending import ending_of
from scoretrail.model.trees.layout import lay_out
from scoretrail.model.trees.plan import TreePlan

if TYPE_CHECKING:
    from scoretrail.model.manifest import Output
    from scoretrail.model.trees.ensemble import Ensemble


@dataclass(frozen=True)
class Planned:
    """A plan, and what it takes to prove it."""

    plan: TreePlan
    ensemble: Ensemble
    alone: bytes
    """A model of nothing but the ensemble."""
    input_dtype: Literal["float32", "float64", "int32", "int64"]
    """Of the ensemble's input."""


def make_plan(model: bytes, output: Output) -> Planned:
    """Return how a model is scored with the kernel.

    Args:
        model: accepted by :func:`scoretrail.model.graph.inspect`.
        output: the graph output that holds the scores.

    Raises:
        NotCoveredError: the kernel does not cover it; the message says why.
    """
    parts = cut(model, output)
    ensemble = read(parts.operator, parts.attributes, parts.dtype)
    plan = TreePlan(
        dtype=ensemble.dtype,
        n_features=ensemble.n_features,
        inputs=parts.inputs,
        before=parts.before,
        layout=lay_out(ensemble),
        ending=ending_of(ensemble),
        after=parts.after,
    )
    return Planned(plan, ensemble, parts.alone, parts.input_dtype)
