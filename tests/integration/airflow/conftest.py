"""One migrated Airflow home, one Spark cluster and one week of data for all tests of the DAGs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.services.airflow_server import AirflowServer
from jobs.services.port import free_port
from tests.factory.scheduled import Scheduled
from tests.integration.airflow.place import ROOT, Place
from tests.integration.cluster.standalone import SHORT_LIFE, StandaloneCluster, java_home

HERE = Path(__file__).parent
CONTROL = ROOT / ".venv-control"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def control() -> Path:
    """The environment that schedules."""
    if not (CONTROL / "bin" / "airflow").exists():
        pytest.skip("there is no control environment: make setup-control")
    return CONTROL


@pytest.fixture(scope="session")
def airflow_java() -> str:
    home = java_home()
    if home is None:
        pytest.skip("there is no Java 17 or 21; `make java` says how to install one")
    return home


@pytest.fixture(scope="session")
def spark(airflow_java: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """A master and a worker of one core."""
    started = StandaloneCluster(tmp_path_factory.mktemp("spark"), airflow_java, hosts=("127.0.0.1",))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def migrated(control: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a database that nobody has used."""
    home = tmp_path_factory.mktemp("migrated")
    AirflowServer(
        folder=home, control=control, dags=ROOT / "dags", plugins=ROOT / "plugins", port=free_port()
    ).migrate()
    return home


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Scheduled:
    """The data and the model of all tests; each writes a table of its own."""
    return Scheduled(tmp_path_factory.mktemp("week") / "home").make()


@pytest.fixture(scope="session")
def variables(airflow_java: str, week: Scheduled) -> dict[str, str]:
    """What the connection ``scoretrail`` gives to every command."""
    return {
        "JAVA_HOME": airflow_java,
        "JAVA_TOOL_OPTIONS": SHORT_LIFE,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SCORETRAIL__REGISTRY__URI": str(week.registry),
    }


@pytest.fixture
def place(
    control: Path, migrated: Path, spark: StandaloneCluster, week: Scheduled, variables: dict[str, str], tmp_path: Path
) -> Place:
    """An Airflow home of its own, whose connections lead to the scoring environment and to the cluster."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(migrated / "airflow.db", home)  # and not airflow.cfg, which names its own folder
    server = AirflowServer(folder=home, control=control, dags=ROOT / "dags", plugins=ROOT / "plugins", port=free_port())
    made = Place(server=server, week=week, scores=str(tmp_path / "scores"), variables=dict(variables))
    made.settings |= {"AIRFLOW_CONN_SCORETRAIL_SPARK": json.dumps({"conn_type": "spark", "host": spark.url})}
    return made
