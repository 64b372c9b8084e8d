"""The cluster, started once for all of its tests, and what they score there."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.factory import example
from tests.factory.registered import Registered
from tests.integration.cluster.launch import Launcher
from tests.integration.cluster.standalone import StandaloneCluster, build_wheel, java_home, python_without_us

HERE = Path(__file__).parent
DAYS = 6
ROWS_PER_DAY = 10_000
BAD_EVERY = 100
BAD_ROWS = DAYS * ROWS_PER_DAY // BAD_EVERY
GOOD_ROWS = DAYS * ROWS_PER_DAY - BAD_ROWS

MakeLauncher = Callable[[Path], Launcher]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def java() -> str:
    home = java_home()
    if home is None:
        pytest.skip("there is no Java 17 or 21; `make java` says how to install one")
    return home


@pytest.fixture(scope="session")
def cluster(java: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """A master and two workers of one core each."""
    started = StandaloneCluster(tmp_path_factory.mktemp("cluster"), java)
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def executor_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_without_us(tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="session")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days of parcels, one file each; every hundredth has no possible weight."""
    root = tmp_path_factory.mktemp("parcels")
    records = example.parcels(DAYS * ROWS_PER_DAY).drop_columns(["late", "speed", "delay_h"])
    weight = records["weight_kg"].to_numpy().copy()
    weight[::BAD_EVERY] = np.float32(-1)
    records = records.set_column(records.schema.get_field_index("weight_kg"), "weight_kg", pa.array(weight))
    for day in range(DAYS):
        folder = root / f"ds=2013-12-{day + 1:02}"
        folder.mkdir()
        pq.write_table(records.slice(day * ROWS_PER_DAY, ROWS_PER_DAY), folder / "parcels.parquet")
    return root


@pytest.fixture(scope="session")
def make_launcher(
    java: str,
    cluster: StandaloneCluster,
    wheel: Path,
    executor_python: Path,
    parcels: Path,
    registered_linear: Registered,
) -> MakeLauncher:
    """Return a function that makes a place on the cluster, with the model whose bits depend on the size of a call."""

    def make(folder: Path) -> Launcher:
        return Launcher(
            folder=folder,
            java=java,
            master=cluster.url,
            registry=registered_linear.root,
            model=registered_linear.resolved.uri,
            input=parcels,
            python=executor_python,
            wheel=wheel,
        )

    return make


@pytest.fixture
def launcher(make_launcher: MakeLauncher, tmp_path: Path) -> Iterator[Launcher]:
    """A place of its own for one test."""
    place = make_launcher(tmp_path)
    yield place
    place.end()


@pytest.fixture(scope="session")
def local_run(make_launcher: MakeLauncher, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """The same run as every test's, on this machine alone and undisturbed: what the cluster must give bit for bit."""
    place = replace(make_launcher(tmp_path_factory.mktemp("local")), master="local[2]", python=Path(sys.executable))
    outcome = place.score().outcome()
    assert outcome.code == 0, outcome.said
    assert place.rows().num_rows == GOOD_ROWS
    assert place.rows("_rejects").num_rows == BAD_ROWS
    return place
