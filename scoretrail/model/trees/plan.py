"""The plan by which a model is scored with the kernel, and its bytes: the file of a bundle that was proven."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from scoretrail.errors import BundleError
from scoretrail.model.trees.ending import Ending
from scoretrail.model.trees.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

TREES: Final = "trees.arrow"
"""The plan's name in a bundle."""
_ARRAYS: Final = tuple(one.name for one in fields(Layout) if one.name != "n_targets")
_ALIGNMENT: Final = 64


@dataclass(frozen=True)
class TreePlan:
    """How a model is scored with the kernel."""

    dtype: Literal["float32", "float64"]
    """Of features, thresholds and sums."""
    n_features: int
    """Columns of the ensemble's input."""
    inputs: tuple[str, ...]
    """The graph inputs that are the ensemble's input, side by side; empty where ``before`` makes it."""
    before: bytes | None
    """A model that makes the ensemble's input."""
    layout: Layout
    ending: Ending
    after: bytes | None
    """A model of what follows the ensemble's scores; None where nothing changes them."""

    def to_bytes(self) -> bytes:
        """Return the plan as an Arrow stream of one row."""
        words = {
            "dtype": self.dtype,
            "n_features": self.n_features,
            "n_targets": self.layout.n_targets,
            "inputs": self.inputs,
            "ending": asdict(self.ending),
        }
        columns: dict[str, pa.Array] = {"plan": pa.array([json.dumps(words, sort_keys=True)])}
        columns |= {name: pa.array([getattr(self, name)], pa.binary()) for name in ("before", "after")}
        for name in _ARRAYS:
            values = getattr(self.layout, name)
            columns[name] = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), pa.array(values))
        batch = pa.RecordBatch.from_pydict(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes) -> TreePlan:
        """Return the plan that :meth:`to_bytes` wrote, with arrays that are safe to give to the kernel.

        Raises:
            BundleError: the bytes are no plan, or its arrays do not belong together.
        """
        try:
            batch = pa.ipc.open_stream(pa.BufferReader(data)).read_next_batch()
            batch.validate(full=True)
            (row,) = batch.select(["plan", "before", "after"]).to_pylist()
            words = json.loads(row["plan"])
            arrays = {name: _owned(batch.column(name)) for name in _ARRAYS}
            plan = cls(
                dtype=words["dtype"],
                n_features=int(words["n_features"]),
                inputs=tuple(words["inputs"]),
                before=row["before"],
                layout=Layout(n_targets=int(words["n_targets"]), **arrays),
                ending=_ending(words["ending"]),
                after=row["after"],
            )
        except (pa.ArrowException, OSError, LookupError, AttributeError, TypeError, ValueError, StopIteration) as error:
            raise BundleError("the plan of the trees cannot be read", where=TREES, got=type(error).__name__) from error
        plan.layout.check(plan.n_features)
        plan.ending.check(plan.layout.n_targets)
        if plan.dtype != str(plan.layout.values.dtype):
            raise BundleError("the plan's numbers are of another type than it says", where=TREES)
        return plan


def _owned(column: pa.Array) -> np.ndarray[Any, Any]:
    """Return a list column's one list as an array of this process, aligned as the processor likes it."""
    values = column.flatten()
    dtype = np.dtype(str(values.type).replace("float", "float32").replace("double", "float64"))
    given = np.frombuffer(values.buffers()[1] or b"", dtype, len(values), values.offset * dtype.itemsize)
    space = np.zeros(given.nbytes + _ALIGNMENT, np.uint8)
    start = -space.ctypes.data % _ALIGNMENT
    owned = space[start : start + given.nbytes].view(dtype)
    owned[:] = given
    return owned


def _ending(words: Mapping[str, Any]) -> Ending:
    tuples = {name: tuple(words[name]) for name in ("base_values", "silent")}
    return Ending(**{**words, **tuples})
