"""One Spark session and one registry for all tests of the batch job, and a folder of its own for each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.batch.spark.engine import SparkEngine
from scoretrail.config import SparkSettings
from tests.factory.registered import Registered
from tests.factory.workshop import Workshop, make_registry

MakeWorkshop = Callable[..., Workshop]


@pytest.fixture(scope="session")
def engine() -> Iterator[SparkEngine]:
    """Spark, started by the first test that scores."""
    engine = SparkEngine(SparkSettings(master="local[2]"), "tests")
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def parcel_registry(
    tmp_path_factory: pytest.TempPathFactory, registered_linear: Registered, registered_trees: Registered
) -> Path:
    return make_registry(tmp_path_factory.mktemp("parcel-registry"), registered_linear, registered_trees)


@pytest.fixture
def shop(tmp_path: Path, parcel_registry: Path, engine: SparkEngine) -> Workshop:
    """An empty input and no table yet."""
    return Workshop(tmp_path / "shop", parcel_registry, engine)
