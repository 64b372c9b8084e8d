"""The images, built and run: where an engine runs and has the image that they are built on."""

import os
import subprocess
from typing import Any

import pytest

from tests.factory.services import ROOT, Kafka, engine, read_committed
from tests.rules.test_container import STREAM_LIMIT_MB

pytestmark = [pytest.mark.container, pytest.mark.slow]

#: The image with Python to build on, where another than the Dockerfiles' is there.
PYTHON_IMAGE = os.environ.get("SCORETRAIL_TEST_PYTHON_IMAGE", "python:3.12-slim-bookworm")
BUILD_LIMIT_S = 1800


@pytest.fixture(scope="module")
def client() -> Any:
    found = engine()
    if found is None:
        pytest.skip("no container engine runs here")
    from docker.errors import ImageNotFound

    try:
        found.images.get(PYTHON_IMAGE)
    except ImageNotFound:
        pytest.skip(f"the engine has no image {PYTHON_IMAGE}; SCORETRAIL_TEST_PYTHON_IMAGE may name another")
    return found


def build(job: str) -> str:
    """Build the image of a job, with the network of this machine, and return its tag."""
    tag = f"scoretrail-{job}:test"
    command = ["docker", "build", "--network", "host", "--build-arg", f"PYTHON_IMAGE={PYTHON_IMAGE}", "--tag", tag]
    done = subprocess.run(
        [*command, "--file", f"ops/docker/{job}.Dockerfile", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_LIMIT_S,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return tag


@pytest.fixture(scope="module")
def stream_image(client: Any) -> str:
    return build("stream")


@pytest.fixture(scope="module")
def batch_image(client: Any) -> str:
    return build("batch")


def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command as docker-compose.yml does: nothing to write but /tmp, and no capability."""
    hardened = ["--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    return subprocess.run(
        ["docker", "run", *hardened, *options, image, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_image_of_the_worker_is_small(client: Any, stream_image: str) -> None:
    assert client.images.get(stream_image).attrs["Size"] <= STREAM_LIMIT_MB * 1e6


def test_the_worker_runs_as_nobody_in_particular(stream_image: str) -> None:
    look = "import os; print(os.getuid()); open('/opt/scoretrail/x', 'w')"
    told = run(stream_image, "-c", look, options=("--entrypoint", "python"))
    assert told.stdout.strip() == "10001"
    assert "Read-only file system" in told.stderr
    assert run(stream_image, "--version").stdout.startswith("scoretrail ")


def test_the_worker_reaches_a_broker(stream_image: str, kafka: Kafka) -> None:
    names = {name: f"container-{os.getpid()}-{name}" for name in ("PREDICTIONS", "DEAD_LETTERS")}
    options = ["--network", "host", "--env", f'SCORETRAIL__KAFKA__BOOTSTRAP=["{kafka.bootstrap}"]']
    for name, topic in names.items():
        options += ["--env", f"SCORETRAIL__STREAM__{name}={topic}"]
    told = run(stream_image, "services", "topics", "--json", options=tuple(options))
    assert told.returncode == 0, told.stderr
    assert read_committed(kafka.bootstrap, names["PREDICTIONS"]) == []


def test_the_batch_job_finds_its_java_and_its_spark(batch_image: str) -> None:
    told = run(batch_image, "doctor", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
