"""What holds for every test: markers by folder, a clean environment, no silent skip where all is required."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

#: Models, and bundles registered once per session, a broker and a store, for every folder of tests.
pytest_plugins = ("tests.factory.fixture", "tests.factory.services")

TESTS = Path(__file__).parent
#: These run in the control environment, which tests/integration/airflow/test_control.py sees to.
collect_ignore = ["control"]

#: Tests of the core, which is what coverage is measured of.
COVERING = (TESTS.parent / "scoretrail", TESTS / "contract", TESTS / "property", TESTS / "unit" / "scoretrail")

#: A test in one of these folders carries the folder's marker.
MARKER_OF_FOLDER = {"integration": "integration", "chaos": "chaos"}

#: Tests below these use Kafka's client, which leaves the socket of a refused connection to the garbage collector.
FOLDERS_WITH_KAFKA = ("chaos/stream", "integration/services", "integration/stream")
#: Tests below one of these share what is started for the first of them.
SHARING = (*FOLDERS_WITH_KAFKA, "integration/airflow", "integration/cluster")
LEFT_SOCKETS = (
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)

#: Those for the tests themselves: the addresses of services that somebody else runs.
KEPT_PREFIX = "SCORETRAIL_TEST_"
#: Settings of the person who runs the tests must not reach the code under test.
SCRUBBED_PREFIXES = ("SCORETRAIL", "SPARK_", "PYSPARK_", "AWS_", "CLICOLOR")
SCRUBBED = (
    "COLUMNS",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",  # makes typer and rich believe in a terminal
    "LINES",
    "NO_COLOR",
    "PYTHONPATH",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)


def pytest_configure() -> None:
    """Remove the settings before any module of ours is imported."""
    for name in list(os.environ):
        if name in SCRUBBED or (name.startswith(SCRUBBED_PREFIXES) and not name.startswith(KEPT_PREFIX)):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their folder, so that none is forgotten."""
    for item in items:
        if item.path.is_relative_to(TESTS):
            marker = MARKER_OF_FOLDER.get(item.path.relative_to(TESTS).parts[0])
            if marker is not None:
                item.add_marker(marker)
            if uses_kafka(item):
                for mark in LEFT_SOCKETS:
                    item.add_marker(mark)
        if not covers(item):
            item.add_marker(pytest.mark.no_cover)
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


def group_of(item: pytest.Item) -> str:
    """Return which tests one of several processes runs: those of a file, or those that share a broker or a cluster.

    A broker and a cluster take as long to start as many a test.
    """
    for folder in SHARING:
        if item.path.is_relative_to(TESTS / folder):
            return folder
    return item.path.relative_to(TESTS.parent).as_posix()


def covers(item: pytest.Item) -> bool:
    """Tell whether a test counts for coverage: one of another thing that runs a line of the core proves nothing of it.

    Following every line takes two fifths of their time, which the others are spared.
    """
    return any(item.path.is_relative_to(folder) for folder in COVERING)


def uses_kafka(item: pytest.Item) -> bool:
    """Tell whether a test may use Kafka's client."""
    return any(item.path.is_relative_to(TESTS / folder) for folder in FOLDERS_WITH_KAFKA)


@pytest.fixture(autouse=True)
def _left_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what Kafka's client left while its test still runs: in another it would be an error."""
    yield
    if uses_kafka(request.node):
        gc.collect()


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With ``REQUIRE_ALL=1``, turn a skip into a failure: whatever is absent must be installed first.

    An engine for containers is no package: where none runs, its tests stay skipped, and are listed.
    """
    is_container = "container" in getattr(report, "keywords", ())
    if os.environ.get("REQUIRE_ALL") == "1" and report.skipped and not hasattr(report, "wasxfail") and not is_container:
        report.outcome = "failed"
        report.longrepr = f"skipped, and REQUIRE_ALL=1: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Refuse the skip of a test."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse the skip of a whole module."""
    report = yield
    refuse_skip(report)
    return report
