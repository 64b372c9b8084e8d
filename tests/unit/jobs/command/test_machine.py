"""The doctor's look at clock, time zones and places."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.command import machine
from jobs.command.machine import check_clock, check_folder, check_places, check_time_zones
from scoretrail.clock import FixedClock, SystemClock
from scoretrail.config import RegistrySettings, Settings, SparkSettings


def test_this_machines_clock_is_good() -> None:
    assert check_clock(SystemClock()).is_good


def test_a_clock_before_the_installation_is_told() -> None:
    finding = check_clock(FixedClock(datetime(1970, 1, 1, tzinfo=UTC)))
    assert finding.cause is not None
    assert "before the time at which this program was installed" in finding.cause


def test_a_day_of_difference_is_no_finding() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert check_clock(FixedClock(at), at + timedelta(hours=20)).is_good
    assert not check_clock(FixedClock(at), at + timedelta(hours=30)).is_good


def test_a_file_system_of_another_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_drift_s", lambda: -300.0)
    assert not check_clock(SystemClock()).is_good


def test_the_time_zones_are_there() -> None:
    assert check_time_zones().is_good


def test_missing_time_zones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_ZONE", "Europe/Atlantis")
    assert not check_time_zones().is_good


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    finding = check_folder("registry", tmp_path / "a" / "b")
    assert finding.is_good
    assert "GiB free" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = check_folder("registry", tmp_path / "file" / "registry")
    assert finding.cause is not None
    assert "cannot be written" in finding.cause
    assert finding.fix is not None
    assert "SCORETRAIL__REGISTRY__URI" in finding.fix


def test_too_little_room_is_told(tmp_path: Path) -> None:
    finding = check_folder("working folder", tmp_path, room_bytes=2**60)
    assert finding.cause is not None
    assert "must be free" in finding.cause


def test_each_place_is_looked_at(tmp_path: Path) -> None:
    settings = Settings(
        registry=RegistrySettings(uri=str(tmp_path / "registry")),
        spark=SparkSettings(conf={"spark.local.dir": str(tmp_path / "spill")}),
    )
    places = {one.check: one.found.partition(",")[0] for one in check_places(settings, {})}
    assert places["registry"] == str(tmp_path / "registry")
    assert places["Spark's local folder"] == str(tmp_path / "spill")
    folders = check_places(settings, {"SPARK_LOCAL_DIRS": f"{tmp_path},{tmp_path / 'b'}"})
    assert [one.found.partition(",")[0] for one in folders[-2:]] == [str(tmp_path), str(tmp_path / "b")]


def test_a_registry_elsewhere_is_written_to() -> None:
    finding = check_places(Settings(registry=RegistrySettings(uri="memory://models")), {})[0]
    assert finding.is_good
    assert "written and removed" in finding.found


def test_a_registry_of_an_unknown_kind_is_told() -> None:
    finding = check_places(Settings(registry=RegistrySettings(uri="gopher://models")), {})[0]
    assert not finding.is_good
    assert finding.fix
