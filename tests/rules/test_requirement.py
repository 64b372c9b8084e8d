"""A skip is listed, and a failure with ``REQUIRE_ALL=1``; settings of the shell do not reach a test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.source import ROOT

SKIPPED_TEST = "import pytest\ndef test_it():\n    pytest.skip('absent')\n"
SKIPPED_MODULE = "import pytest\npytest.importorskip('no_such_module')\n"
SKIPPED_CONTAINER = "import pytest\n@pytest.mark.container\ndef test_it():\n    pytest.skip('no engine')\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
SCRUBBED = "import os\ndef test_it():\n    assert 'SCORETRAIL__REGISTRY' not in os.environ\n"
KEPT = "import os\ndef test_it():\n    assert os.environ['SCORETRAIL_TEST_KAFKA'] == 'there'\n"


def run(folder: Path, text: str, **environment: str) -> int:
    """Run one test module under our conftest and return pytest's exit code."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_one.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    clean = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, check=False, timeout=120
    ).returncode


@pytest.mark.parametrize("text", [SKIPPED_TEST, SKIPPED_MODULE])
def test_a_skip_fails_where_everything_is_required(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, text, REQUIRE_ALL="1") in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}


@pytest.mark.parametrize(("text", "code"), [(SKIPPED_TEST, 0), (SKIPPED_MODULE, 5), (EXPECTED_FAILURE, 0)])
def test_a_skip_is_no_failure_elsewhere(tmp_path: Path, text: str, code: int) -> None:
    assert run(tmp_path, text) == code


def test_a_container_without_an_engine_is_no_failure(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED_CONTAINER, REQUIRE_ALL="1") == pytest.ExitCode.OK


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, EXPECTED_FAILURE, REQUIRE_ALL="1") == pytest.ExitCode.OK


def test_the_settings_of_the_shell_do_not_reach_a_test(tmp_path: Path) -> None:
    assert run(tmp_path, SCRUBBED, SCORETRAIL__REGISTRY="elsewhere") == pytest.ExitCode.OK


def test_the_addresses_of_services_reach_it(tmp_path: Path) -> None:
    assert run(tmp_path, KEPT, SCORETRAIL_TEST_KAFKA="there") == pytest.ExitCode.OK
