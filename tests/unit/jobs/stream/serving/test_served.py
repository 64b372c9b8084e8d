"""Which bundle serves: a higher alias number only, and never one that cannot be loaded."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jobs.stream.serving.served import Served, ServedBundle, ServedPolicy, alias_of_uri
from scoretrail import digest, log
from scoretrail.clock import FixedClock
from scoretrail.errors import BundleError, RegistryError, StorageError, UsageError
from scoretrail.model.manifest import MANIFEST
from scoretrail.model.registry import Registry
from tests.factory.bare import BARE_FILES, NOW, bare_manifest, open_registry

NAME = "parcel-linear"


class Loaded:
    """Stands for a bundle: what is served here is never scored with."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.digest = digest.of_bytes(files[MANIFEST])


class Clock(FixedClock):
    now_s = 0.0

    def monotonic(self) -> float:
        return Clock.now_s


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = open_registry(tmp_path)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        found.publish(bare_manifest(version=version), BARE_FILES)
    found.move_alias(NAME, "champion", "1.0.0")
    return found


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """Version -> what its load raises."""
    failures: dict[str, Exception] = {}

    def load(files: Mapping[str, bytes], bits: str, engine: str) -> Any:
        for version, error in failures.items():
            if f'"version":"{version}"'.encode() in files[MANIFEST]:
                raise error
        return Loaded(files)

    monkeypatch.setattr("jobs.stream.serving.served.open_bundle", load)
    Clock.now_s = 0.0
    return failures


def served_of(registry: Registry, **policy: Any) -> Served[str]:
    def make(served: ServedBundle) -> str:
        return f"handler of {served.resolved.manifest.version}"

    values = {"name": NAME, "alias": "champion", "poll_s": 0.01, **policy}
    return Served(registry, ServedPolicy(**values), make, Clock(NOW.at))


@pytest.mark.usefixtures("broken")
def test_nothing_serves_before_it_is_loaded(registry: Registry) -> None:
    served = served_of(registry)
    with pytest.raises(RegistryError, match="no bundle is loaded yet"):
        served.current()
    serving = served.load()
    assert (serving.alias_no, serving.handler) == (1, "handler of 1.0.0")
    assert serving.served.resolved.role == "champion"
    assert served.current() is serving


@pytest.mark.usefixtures("broken")
def test_a_new_alias_is_served_and_a_rollback_has_a_higher_number(registry: Registry) -> None:
    served = served_of(registry)
    served.load()
    assert not served.look()
    registry.move_alias(NAME, "champion", "1.1.0")
    assert served.look()
    assert (served.current().alias_no, served.current().handler) == (2, "handler of 1.1.0")
    registry.rollback(NAME)
    assert served.look()
    assert (served.current().alias_no, served.current().handler) == (3, "handler of 1.0.0")


@pytest.mark.usefixtures("broken")
def test_another_alias_moves_nothing(registry: Registry) -> None:
    served = served_of(registry)
    serving = served.load()
    registry.move_alias(NAME, "challenger", "1.2.0")
    assert not served.look()
    assert served.current() is serving


def test_a_bundle_that_cannot_be_loaded_leaves_the_one_before_and_alerts(
    registry: Registry, broken: dict[str, Exception]
) -> None:
    served = served_of(registry)
    serving = served.load()
    broken["1.1.0"] = BundleError("a file of the bundle was changed")
    registry.move_alias(NAME, "champion", "1.1.0")
    with capture_logs() as logs:
        assert not served.look()
        assert not served.look()  # not tried at every look
    assert served.current() is serving
    assert served.failures == 1
    assert [entry["error"] for entry in logs if entry["event"] == log.MODEL_LOAD_FAILED] == [
        "a file of the bundle was changed"
    ]
    broken.clear()
    Clock.now_s = 31.0
    assert served.look()
    assert served.current().alias_no == 2


def test_whatever_a_bundle_does_the_one_before_serves(registry: Registry, broken: dict[str, Exception]) -> None:
    served = served_of(registry)
    served.load()
    broken["1.1.0"] = ZeroDivisionError()
    registry.move_alias(NAME, "champion", "1.1.0")
    assert not served.look()
    registry.move_alias(NAME, "champion", "1.2.0")
    assert served.look()
    assert served.current().alias_no == 3


def test_a_storage_that_is_away_is_asked_again_at_once(registry: Registry, broken: dict[str, Exception]) -> None:
    served = served_of(registry)
    served.load()
    broken["1.1.0"] = StorageError("away")
    registry.move_alias(NAME, "champion", "1.1.0")
    assert not served.look()
    broken.clear()
    assert served.look()


def test_there_is_nothing_to_fall_back_to_at_the_start(registry: Registry, broken: dict[str, Exception]) -> None:
    broken["1.0.0"] = BundleError("a file of the bundle was changed")
    with pytest.raises(BundleError):
        served_of(registry).load()


@pytest.mark.usefixtures("broken")
def test_pinned_versions_are_loaded_beforehand(registry: Registry) -> None:
    serving = served_of(registry, allowed_versions=("1.2.0",)).load()
    assert serving.served.pinned.keys() == {"1.2.0"}
    with pytest.raises(RegistryError):
        served_of(registry, allowed_versions=("9.0.0",)).load()


@pytest.mark.usefixtures("broken")
def test_the_thread_follows_and_can_be_woken(registry: Registry) -> None:
    served = served_of(registry, poll_s=3600)
    served.load()
    made = threading.Event()
    look = served.look

    def looked() -> bool:
        found = look()
        made.set()
        return found

    served.look = looked  # type: ignore[method-assign]
    served.start()
    registry.move_alias(NAME, "champion", "1.1.0")
    served.wake()
    assert made.wait(10)
    assert served.current().alias_no == 2
    served.stop()
    served._thread.join(10)
    assert not served._thread.is_alive()


@pytest.mark.parametrize(
    "uri", [None, "", "parcel@champion", "models:/parcel/1.0.0", "models:/@champion", "models:/p@"]
)
def test_only_an_alias_can_be_followed(uri: str | None) -> None:
    with pytest.raises(UsageError, match="models:/NAME@ALIAS"):
        alias_of_uri(uri)
