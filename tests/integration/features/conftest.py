"""Spark, started by the first test that joins, and the real flights of some days as tables and records."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.flights.stored import SETS, StoredFlights, prepare_stored
from jobs.batch.spark.engine import SparkEngine
from jobs.features.build import BuildOutcome, BuildRequest, build
from jobs.progress import SilentProgress
from scoretrail import digest
from scoretrail.config import SparkSettings
from scoretrail.feature.source import load_view
from tests.factory.flights import source_folder

FEATURES = Path(__file__).parents[3] / "features" / "flights_stored.py"
SOURCE = FEATURES.read_bytes()
VIEW = load_view(SOURCE, "flight_delay_live")

#: The clocks change on 10 March; on 30 December the weather ends.
DAYS = {(3, 9), (3, 10), (3, 11), (12, 29), (12, 30), (12, 31)}


@pytest.fixture(scope="session")
def engine() -> Iterator[SparkEngine]:
    engine = SparkEngine(SparkSettings(master="local[2]"), "tests")
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> StoredFlights:
    folder = tmp_path_factory.mktemp("flights")
    return prepare_stored(folder / "stored", source=source_folder(folder / "source", DAYS))


def build_flights(flights: StoredFlights, records: Path, output: Path, engine: SparkEngine) -> BuildOutcome:
    request = BuildRequest(
        view=VIEW,
        features_sha256=digest.of_bytes(SOURCE),
        records=str(records),
        stored=tuple(f"{name}={flights.table(name)}" for name in SETS),
        output=str(output),
    )
    return build(request, {}, engine, SilentProgress())


@pytest.fixture(scope="session")
def december(flights: StoredFlights, engine: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The days of December, built."""
    output = tmp_path_factory.mktemp("built") / "december"
    build_flights(flights, flights.december, output, engine)
    return output


@pytest.fixture(scope="session")
def training(flights: StoredFlights, engine: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The days of March, built."""
    output = tmp_path_factory.mktemp("built") / "training"
    build_flights(flights, flights.training, output, engine)
    return output
