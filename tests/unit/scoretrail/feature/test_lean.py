from __future__ import annotations

import subprocess
import sys

PREPARED = """
import sys
import numpy as np, pyarrow as pa
from scoretrail.feature.lean import keep_pandas_out
"""


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", PREPARED + program], check=True, timeout=60)


def test_pyarrow_makes_arrays_without_pandas_and_pandas_stays_available() -> None:
    run("""
keep_pandas_out()
assert not [finder for finder in sys.meta_path if type(finder).__module__ == "scoretrail.feature.lean"]
assert pa.array([1, None]).null_count == 1
assert pa.array(np.arange(3)).to_pylist() == [0, 1, 2]
assert np.asarray(pa.array([0.5])).tolist() == [0.5]
assert pa.scalar("a").as_py() == "a"
assert "pandas" not in sys.modules
assert pa.table({"a": [1]}).to_pandas().a.tolist() == [1]
assert "pandas" in sys.modules
""")


def test_without_it_the_first_array_loads_pandas_and_then_nothing_changes() -> None:
    """The control, and a process in which it comes too late."""
    run("""
pa.array([1])
assert "pandas" in sys.modules
keep_pandas_out()
assert pa.array([1, sys.modules["pandas"].NA], from_pandas=True).null_count == 1
""")
