"""What the images and docker-compose.yml must hold, read from their text: no engine is needed for it."""

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.services import jars
from scoretrail.config import ENV_PREFIX, Settings
from tests.rules.source import ROOT
from tests.rules.test_docs import settings
from tests.rules.test_lock import LOCK, complaints, pins

DOCKERFILES = sorted((ROOT / "ops" / "docker").glob("*.Dockerfile"))
COMPOSE = ROOT / "docker-compose.yml"
IMAGE_LOCKS = [ROOT / "locks" / name for name in ("stream.txt", "batch.txt")]

SECRET = re.compile(r"(?i)password|passwd|secret|token|credential|private[_-]?key|access[_-]?key")
#: A slim Debian with Python, generously: it is published, and not weighed here.
BASE_MB = 130
#: What the compiled form of a module weighs, by its source.
BYTECODE_RATIO = 1.1
STREAM_LIMIT_MB = 500
NEVER_IN_STREAM = {"deltalake", "evidently", "onnx", "pandas", "pyspark"}


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in pairs]


def stages(text: str) -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions(text):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def untagged(image: str) -> bool:
    """Tell whether an image's version is left open."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return "@sha256:" not in image and (not name or tag in {"", "latest"})


def dockerfile_faults(text: str) -> list[str]:
    """Return what is wrong with a Dockerfile."""
    built = stages(text)
    last = built[-1]
    values = dict(rest.partition("=")[::2] for name, rest in instructions(text) if name == "ARG")
    faults = [] if len(built) > 1 else ["one stage only"]
    for stage in built:
        image = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], ""), stage[0][1].split()[0])
        faults += [f"image without a version: {image}"] if untagged(image) else []
    users = [rest for name, rest in last if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        faults.append("runs as root, or as a user whose number is not known")
    faults += [] if any(name == "HEALTHCHECK" and "CMD" in rest for name, rest in last) else ["no health check"]
    faults += [f"{name} may fetch" for name, _ in instructions(text) if name == "ADD"]
    faults += [] if any(name == "COPY" and "locks/" in rest for name, rest in built[0]) else ["no lock is copied"]
    for name, rest in instructions(text):
        if name in {"ENV", "ARG", "LABEL"} and SECRET.search(rest):
            faults.append(f"a secret: {rest}")
        if name == "RUN":
            faults += [f"without hashes: {one}" for one in installs(rest) if not is_held(one)]
    copied = [rest for name, rest in last if name == "COPY" and "--from=" not in rest]
    return faults + [f"the last stage copies from the context: {rest}" for rest in copied]


def installs(script: str) -> list[str]:
    """Return the calls of pip that install or build something."""
    return [one for one in script.split("&&") if re.search(r"\bpip\b.*\b(install|wheel|download)\b", one)]


def is_held(call: str) -> bool:
    """Tell whether a call of pip takes only what a lock has the hash of, or what lies there already."""
    words = shlex.split(call)
    return "--require-hashes" in words or ("--no-index" in words and "--no-deps" in words)


def compose_faults(compose: dict[str, Any]) -> list[str]:
    """Return what is wrong with the services of a compose file."""
    faults = []
    for name, service in compose["services"].items():
        faults += [] if service.get("healthcheck", {}).get("test") else [f"{name}: no health check"]
        faults += [f"{name}: image without a version"] if untagged(service.get("image", "")) else []
        ports = [port for port in service.get("ports", []) if not str(port).startswith("127.0.0.1:")]
        faults += [f"{name}: open to the network: {port}" for port in ports]
        faults += [f"{name}: a secret: {key}" for key in service.get("environment", {}) if SECRET.search(key)]
        if "build" in service:
            hardened = service.get("read_only") is True and service.get("cap_drop") == ["ALL"]
            faults += [] if hardened else [f"{name}: may change its files, or has capabilities"]
            build = service["build"]
            faults += [] if (ROOT / build["context"] / build["dockerfile"]).is_file() else [f"{name}: no Dockerfile"]
    return faults


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_is_as_it_must_be(path: Path) -> None:
    assert dockerfile_faults(path.read_text(encoding="utf-8")) == []


def test_there_is_one_for_each_job() -> None:
    assert [path.name for path in DOCKERFILES] == ["batch.Dockerfile", "stream.Dockerfile"]


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("python:3.12-slim-bookworm", "python:latest", "image without a version: python:latest"),
        ("python:3.12-slim-bookworm", "python", "image without a version: python"),
        ("USER 10001:10001", "USER root", "runs as root, or as a user whose number is not known"),
        ("USER 10001:10001", "", "runs as root, or as a user whose number is not known"),
        ("USER 10001:10001", "USER 0", "runs as root, or as a user whose number is not known"),
        ("HEALTHCHECK", "LABEL", "no health check"),
        ("--require-hashes", "--quiet", "without hashes"),
        ("ENTRYPOINT", "ENV API_TOKEN=1\nENTRYPOINT", "a secret: API_TOKEN=1"),
        ("COPY --from=builder", "COPY . /app\nCOPY --from=builder", "the last stage copies from the context: . /app"),
        ("COPY pyproject.toml", "ADD pyproject.toml", "ADD may fetch"),
        ("COPY locks/stream.txt locks/scoring.txt locks/", "COPY other other/", "no lock is copied"),
    ],
)
def test_a_fault_of_a_dockerfile_is_found(before: str, after: str, fault: str) -> None:
    text = DOCKERFILES[1].read_text(encoding="utf-8")
    assert before in text
    assert any(found.startswith(fault) for found in dockerfile_faults(text.replace(before, after)))


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def test_the_compose_file_is_as_it_must_be(compose: dict[str, Any]) -> None:
    assert compose_faults(compose) == []
    ours = {"kafka", "redis", "topics", "stream", "batch"}
    monitoring = {name for name, one in compose["services"].items() if one.get("profiles") == ["monitoring"]}
    assert monitoring == {"node-exporter", "prometheus", "alertmanager", "grafana"}
    assert set(compose["services"]) == ours | monitoring


def test_what_is_mounted_from_ops_is_there(compose: dict[str, Any]) -> None:
    volumes = [volume for one in compose["services"].values() for volume in one.get("volumes", [])]
    mounted = [volume.partition(":")[0] for volume in volumes if volume.startswith("./ops/")]
    assert len(mounted) == 4
    assert [path for path in mounted if not (ROOT / path).is_dir()] == []


def test_it_runs_the_same_kafka_as_we_do(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{jars.VERSION}"


def test_the_worker_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    needed = {name: one["condition"] for name, one in compose["services"]["stream"]["depends_on"].items()}
    assert needed == {"topics": "service_completed_successfully", "redis": "service_healthy"}
    assert compose["services"]["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_every_setting_that_a_container_is_given_exists(compose: dict[str, Any]) -> None:
    texts = [path.read_text(encoding="utf-8") for path in (COMPOSE, *DOCKERFILES)]
    given = {name for text in texts for name in re.findall(rf"\b{ENV_PREFIX}\w+", text)}
    known = {ENV_PREFIX + name.upper().replace(".", "__") for name in settings()}
    assert given
    assert given - known == set()


def test_the_health_check_asks_where_the_worker_answers(compose: dict[str, Any]) -> None:
    port = Settings().stream.health_port
    texts = [DOCKERFILES[1].read_text(encoding="utf-8"), str(compose["services"]["stream"]["healthcheck"])]
    assert all(f"http://127.0.0.1:{port}/livez" in text for text in texts)
    assert compose["services"]["stream"]["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize(
    ("service", "change", "fault"),
    [
        ("redis", {"healthcheck": {}}, "redis: no health check"),
        ("kafka", {"image": "apache/kafka"}, "kafka: image without a version"),
        ("redis", {"image": "valkey/valkey:latest"}, "redis: image without a version"),
        ("redis", {"ports": ["6379:6379"]}, "redis: open to the network: 6379:6379"),
        ("stream", {"environment": {"SCORETRAIL__KAFKA__PASSWORD": "x"}}, "stream: a secret"),
        ("stream", {"read_only": False}, "stream: may change its files"),
        ("batch", {"cap_drop": []}, "batch: may change its files"),
        ("batch", {"build": {"context": ".", "dockerfile": "none"}}, "batch: no Dockerfile"),
    ],
)
def test_a_fault_of_the_compose_file_is_found(
    compose: dict[str, Any], service: str, change: dict[str, Any], fault: str
) -> None:
    compose["services"][service] |= change
    assert any(found.startswith(fault) for found in compose_faults(compose))


def test_nothing_reaches_an_image_that_is_not_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {
        "!pyproject.toml",
        "!README.md",
        "!LICENSE",
        "!locks/*.txt",
        "!scoretrail",
        "!jobs",
    }


@pytest.mark.parametrize("path", IMAGE_LOCKS, ids=lambda path: path.name)
def test_the_lock_of_an_image_has_the_versions_that_were_tested(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert complaints(text) == []
    tested = pins(LOCK.read_text(encoding="utf-8"))
    assert {name: found for name, found in pins(text).items() if set(found) - set(tested.get(name, []))} == {}


def test_the_worker_has_what_it_needs_and_nothing_that_it_must_not_reach() -> None:
    locked = set(pins(IMAGE_LOCKS[0].read_text(encoding="utf-8")))
    assert locked & NEVER_IN_STREAM == set()
    assert {"crc32c", "kafka-python", "msgspec", "onnxruntime", "prometheus-client", "pyarrow", "redis"} <= locked
    assert set(pins(IMAGE_LOCKS[1].read_text(encoding="utf-8"))) >= locked | {"deltalake", "onnx", "pyspark"}


WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
"""


@pytest.mark.parametrize("entry", ["jobs.cli", "jobs.stream.loop.worker", "jobs.services.topics"])
def test_the_worker_starts_without_what_its_lock_leaves_out(entry: str) -> None:
    left_out = set(pins(LOCK.read_text(encoding="utf-8"))) - set(pins(IMAGE_LOCKS[0].read_text(encoding="utf-8")))
    assert left_out >= NEVER_IN_STREAM - {"evidently"}
    command = [sys.executable, "-c", f"{WITHOUT}import {entry}", *(name.replace("-", "_") for name in left_out)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr


def test_a_package_that_is_left_out_is_missed() -> None:
    command = [sys.executable, "-c", f"{WITHOUT}import numpy", "numpy"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "ModuleNotFoundError: numpy" in run.stderr


def test_the_image_of_the_worker_stays_below_its_limit() -> None:
    """What the lock installs, weighed in this environment; where an engine is, another test weighs the image itself."""
    installed = sum(installed_bytes(name) for name in pins(IMAGE_LOCKS[0].read_text(encoding="utf-8"))) / 1e6
    assert installed > 200, "packages of the lock are not installed here"
    assert BASE_MB + installed <= STREAM_LIMIT_MB


def installed_bytes(name: str) -> float:
    """Return what a package weighs in the image, the compiled form of its modules as well."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return 0  # for other systems or versions of Python
    kept = [file for file in files if not is_left_out(str(file))]
    source = sum(file.size or 0 for file in kept if file.suffix == ".py")
    return sum(file.size or 0 for file in kept) + BYTECODE_RATIO * source


def is_left_out(file: str) -> bool:
    """Tell whether the Dockerfile removes a file of pyarrow."""
    text = DOCKERFILES[1].read_text(encoding="utf-8")
    removed = re.search(r"site-packages/pyarrow \\\n\s*&& rm -rf (.+)\) \\", text)
    assert removed, "the Dockerfile removes something else"
    package, _, rest = file.partition("/")
    return package == "pyarrow" and any(fnmatch(rest.partition("/")[0], one) for one in removed[1].split())
