from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from scoretrail.errors import FeatureViewError
from scoretrail.feature.source import load_view
from tests.factory.example import MIXED_VIEW, NUMBER_VIEW

MINIMAL = """
import pyarrow as pa
from scoretrail.feature import Derived, FeatureView, Request
view = FeatureView(
    name="v", entity_key="k", event_time="t", request=[Request("x", pa.float32())], inputs=["x"]
)
"""


def refused(code: str, name: str = "view") -> FeatureViewError:
    with pytest.raises(FeatureViewError) as caught:
        load_view(code.encode(), name)
    return caught.value


def test_a_view_is_loaded_from_bytes_and_from_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("raise RuntimeError('a file was read')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "open", None)

    assert load_view(NUMBER_VIEW, "parcels").inputs == ("weight_kg", "distance_km", "height_m", "density")
    assert load_view(MIXED_VIEW, "parcels").inputs == ("carrier", "n_items", "weight_kg")


@pytest.mark.parametrize(
    "statement",
    [
        "import numpy as np",
        "import numpy.typing",
        "import pyarrow.compute as pc",
        "from pyarrow import compute",
        "from pyarrow.types import is_string",
        "import math, datetime",
        "from __future__ import annotations",
    ],
)
def test_what_is_pure_may_be_imported(statement: str) -> None:
    assert load_view(f"{statement}\n{MINIMAL}".encode(), "view").name == "v"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import os", "os"),
        ("import numpy, requests", "requests"),
        ("import os.path as p", "os.path"),
        ("from os import path", "os"),
        ("from . import other", "."),
        ("from .other import thing", ".other"),
        ("import numpyro", "numpyro"),
        ("import pyarrow_hotfix", "pyarrow_hotfix"),
        ("import scoretrail", "scoretrail"),
        ("from scoretrail import storage", "scoretrail"),
        ("from scoretrail.feature.source import sys", "scoretrail.feature.source"),
        ("from scoretrail.config import load", "scoretrail.config"),
        ("def f(record):\n    import socket", "socket"),
        ("if False:\n    import random", "random"),
        ("class C:\n    from time import time", "time"),
    ],
)
def test_any_other_import_is_refused_wherever_it_stands(statement: str, said: str) -> None:
    error = refused(f"{statement}\n{MINIMAL}")

    assert error.what == f"feature code may not import {said}"
    assert ", line " in str(error.where)


def test_the_line_of_a_refused_import_is_named() -> None:
    assert str(refused("\n\nimport os\n").where).endswith(", line 3")


@pytest.mark.parametrize(
    "code",
    ["open('x')", "__import__('os')", "eval('1')", "exec('1')", "f = open", "globals()", "__builtins__"],
)
def test_names_that_lead_outside_are_refused(code: str) -> None:
    assert refused(f"{MINIMAL}\n{code}").what.startswith("feature code may not use ")


def test_refused_code_never_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    refused(f"import pyarrow as pa\npa.OSFile({str(ran)!r}, 'w').close()\nimport os\n")
    assert not ran.exists()

    load_view(f"{MINIMAL}\npa.OSFile({str(ran)!r}, 'w').close()\n".encode(), "view")
    assert ran.exists(), "the control: accepted code does run, and the check makes nothing safe"


@pytest.mark.parametrize("code", ["def broken(:", "x = 1\n  y = 2", "\x00", "# coding: nonsense\n", "'\\ud800"])
def test_code_that_does_not_parse_is_refused(code: str) -> None:
    assert refused(code).what == "the feature code does not parse"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FeatureViewError, match="does not parse"):
        load_view(b"x = '\xff\xfe'", "view")


def test_code_that_fails_is_refused() -> None:
    error = refused("import numpy as np\nnp.no_such_thing")

    assert error.what == "the feature code failed"
    assert "no_such_thing" in str(error.got)


def test_code_cannot_end_the_process() -> None:
    assert refused("exit(0)").what == "the feature code failed"


def test_loading_leaves_nothing_behind() -> None:
    before = set(sys.modules)

    load_view(MINIMAL.encode(), "view")

    assert set(sys.modules) == before


def test_a_view_that_contradicts_itself_says_so() -> None:
    error = refused(MINIMAL.replace('inputs=["x"]', 'inputs=["y"]'))

    assert error.what == "the feature code failed"
    assert "has an input that is no feature" in str(error.got)


@pytest.mark.parametrize(
    ("code", "name", "fix"),
    [
        (MINIMAL, "veiw", "did you mean view?"),
        (MINIMAL, "zzz", "did you mean view?"),
        (MINIMAL, "pa", "did you mean view?"),
        ("x = 1", "view", "did you mean view = FeatureView(…)?"),
    ],
)
def test_a_name_that_is_no_view_is_refused_and_the_nearest_view_is_named(code: str, name: str, fix: str) -> None:
    error = refused(code, name)

    assert error.what == f"the feature code has no view {name!r}"
    assert error.fix == fix
    assert error.got == ("view" if "FeatureView" in code else "no view at all")


def test_two_codes_do_not_mix() -> None:
    one = MINIMAL + "\nLIMIT = 1\n"
    other = MINIMAL.replace('name="v"', 'name="w"')

    assert (load_view(one.encode(), "view").name, load_view(other.encode(), "view").name) == ("v", "w")
    assert load_view(one.encode(), "view").contract() == load_view(one.encode(), "view").contract()
