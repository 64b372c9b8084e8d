"""A plan's bytes: read again as written; whatever else they are, refused or harmless, never a crash."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from scoretrail.errors import BundleError
from scoretrail.model.trees.plan import TreePlan
from tests.factory.forest import MODES, Forest
from tests.factory.kernel import planned

FOREST = Forest(trees=3, leaves=40, modes=MODES, missing=True, transform="LOGISTIC")


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = planned(FOREST).plan

    again = TreePlan.from_bytes(plan.to_bytes())

    assert again.to_bytes() == plan.to_bytes()
    assert (again.ending, again.inputs, again.before, again.after) == (plan.ending, ("matrix",), None, None)
    np.testing.assert_array_equal(again.layout.entry_mask, plan.layout.entry_mask)


@pytest.mark.parametrize("data", [b"", b"no plan", bytes(1000)])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        TreePlan.from_bytes(data)


def test_another_table_is_refused() -> None:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"plan": ["{}"], "before": [None], "after": [None]})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)

    with pytest.raises(BundleError, match="cannot be read"):
        TreePlan.from_bytes(bytes(sink.getvalue()))


#: Changes bytes of a plan, and the numbers of its arrays; scores with whatever is still accepted.
FUZZ = """
import numpy as np
from dataclasses import fields, replace
from scoretrail.errors import ScoretrailError
from scoretrail.model.trees.layout import Layout
from scoretrail.model.trees.plan import TreePlan
from tests.factory.kernel import planned, scorer_of
from tests.unit_plan import FOREST

random = np.random.default_rng(11)
plan = planned(FOREST).plan
data = plan.to_bytes()
columns = random.normal(size=(FOREST.features, 200)).astype(np.float32)
wild = np.array([-2**31, -1, 0, 1, 2, 31, 32, 63, 64, 1000, 2**20, 2**31 - 1])
accepted = 0
for turn in range(3000):
    try:
        if turn % 2:
            changed = bytearray(data)
            for _ in range(random.integers(1, 5)):
                changed[random.integers(len(changed))] = random.integers(256)
            found = TreePlan.from_bytes(bytes(changed))
        else:
            name = str(random.choice([one.name for one in fields(Layout)[1:]]))
            array = getattr(plan.layout, name).copy()
            number = int(random.choice(wild))
            unsigned = array.dtype == np.uint32
            array[random.integers(len(array))] = number % 2**32 if unsigned else number
            found = TreePlan.from_bytes(replace(plan, layout=replace(plan.layout, **{name: array})).to_bytes())
        scorer = scorer_of(FOREST, found)
        scorer.score_ensemble(columns)
        scorer.score_ensemble(columns[:, :3].copy())
        accepted += 1
    except ScoretrailError:
        pass
print(accepted)
"""


def test_changed_plans_crash_nothing() -> None:
    program = FUZZ.replace(
        "from tests.unit_plan import FOREST", f"from tests.factory.forest import Forest\nFOREST = {FOREST!r}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    assert 100 < int(done.stdout) < 2900
