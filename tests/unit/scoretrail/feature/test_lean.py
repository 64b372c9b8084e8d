"""A process that asked for it has no pandas in it, until something really needs pandas."""

from __future__ import annotations

import subprocess
import sys

ASK = "import sys, pyarrow as pa, numpy as np; pa.array([1]); pa.array(np.arange(3)); pa.scalar('x')\n"
KEEP_OUT = "from scoretrail.feature.lean import keep_pandas_out; keep_pandas_out()\n"
LOADED = "print('pandas' in sys.modules)\n"


def run(*lines: str) -> list[str]:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", "".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_pyarrow_alone_loads_pandas() -> None:
    assert run(ASK, LOADED) == ["True"]


def test_a_lean_process_does_not() -> None:
    assert run(KEEP_OUT, ASK, LOADED) == ["False"]


def test_what_needs_pandas_still_gets_it() -> None:
    convert = "print(pa.table({'a': [1, 2]}).to_pandas()['a'].sum())\n"
    assert run(KEEP_OUT, ASK, convert, LOADED) == ["3", "True"]


def test_other_modules_are_found_as_ever() -> None:
    assert run(KEEP_OUT, "import colorsys\n", ASK, "print(colorsys.__name__)\n") == ["colorsys"]


def test_a_process_with_pandas_keeps_it() -> None:
    series = "import pandas; print(len(pa.array(pandas.Series([1, 2, 3]))))\n"
    assert run("import pandas\n", KEEP_OUT, ASK, series, LOADED) == ["3", "True"]
    assert run(KEEP_OUT, ASK, series, LOADED) == ["3", "True"]
