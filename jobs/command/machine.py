"""The machine: its clock and time zones, and the places that must be writable and have room."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import scoretrail
from jobs.command.finding import Finding, first_line
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scoretrail.clock import Clock
    from scoretrail.config import Settings

GIB: Final = 2**30
ROOM_BYTES: Final = GIB
"""Room for Spark's spill, or for the output of a day of small runs; less is sure to end in the middle of one."""
_SLACK: Final = timedelta(days=1)
"""Archives and images carry times of other zones."""
_DRIFT_S: Final = 60.0
_ZONE: Final = "America/New_York"
"""The demo's; any zone with a changing offset shows that the database is there."""


def check_clock(clock: Clock, installed_at: datetime | None = None) -> Finding:
    """Return whether the time of day can be true.

    Args:
        clock: the clock.
        installed_at: a time that has surely passed; default that of our own installed code.
    """
    now = clock.now()
    installed_at = installed_at or datetime.fromtimestamp(Path(scoretrail.__file__).stat().st_mtime, UTC)
    found = now.isoformat(timespec="seconds")
    mend = "set the clock: sudo timedatectl set-ntp true"
    if now < installed_at - _SLACK:
        cause = (
            f"it is before the time at which this program was installed, {installed_at.isoformat(timespec='seconds')}"
        )
        return Finding(check="clock", found=found, cause=cause, fix=mend)
    drift_s = _drift_s()
    if abs(drift_s) > _DRIFT_S:
        cause = f"the temporary folder's file system is {drift_s:.0f} s away from it"
        return Finding(check="clock", found=found, cause=cause, fix=mend)
    return Finding(check="clock", found=found)


def check_time_zones() -> Finding:
    """Return whether Python and Arrow know the world's time zones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        zoneinfo.ZoneInfo(_ZONE)
        pc.assume_timezone(pa.array([datetime(2013, 12, 2, 12)]), _ZONE)  # noqa: DTZ001  (a zone is what it gets)
    except (zoneinfo.ZoneInfoNotFoundError, pa.ArrowException) as error:
        return Finding(
            check="time zones",
            found="none",
            cause=first_line(error),
            fix="sudo apt-get install -y tzdata, or the package of that name of this system",
        )
    return Finding(check="time zones", found="there")


def check_places(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Return what is found of the registry, the working folder and Spark's local folders.

    Args:
        settings: name the registry and Spark's local folder.
        environment: ``SPARK_LOCAL_DIRS`` overrules the setting.
    """
    from scoretrail.storage import normalise_uri

    registry = normalise_uri(settings.registry.uri)
    spark = environment.get("SPARK_LOCAL_DIRS") or settings.spark.conf.get("spark.local.dir") or tempfile.gettempdir()
    return [
        _check_remote("registry", registry, settings)
        if "://" in registry
        else check_folder("registry", Path(registry)),
        check_folder("working folder", Path.cwd()),
        *(check_folder("Spark's local folder", Path(folder)) for folder in spark.split(",")),
    ]


def check_folder(check: str, folder: Path, room_bytes: int = ROOM_BYTES) -> Finding:
    """Return whether a file can be written in a folder, or in the place where the folder will be made.

    Args:
        check: what the folder is.
        folder: it need not be there yet.
        room_bytes: how much must be free.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    found = str(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            free_bytes = shutil.disk_usage(there).free
    except OSError as error:
        cause = f"{there} cannot be written: {error.strerror or error}"
        return Finding(check=check, found=found, cause=cause, fix=_elsewhere(check, folder))
    found += f", {free_bytes / GIB:.1f} GiB free"
    if free_bytes < room_bytes:
        cause = f"at least {room_bytes / GIB:.1f} GiB must be free"
        return Finding(check=check, found=found, cause=cause, fix=f"make room: du -xh {there} | sort -h | tail")
    return Finding(check=check, found=found)


def _elsewhere(check: str, folder: Path) -> str:
    return {
        "registry": "export SCORETRAIL__REGISTRY__URI=<a place you may write to>",
        "Spark's local folder": "export SPARK_LOCAL_DIRS=<a folder you may write to>",
    }.get(check, f"sudo chown $(id -u) {folder}, or work in another folder")


def _check_remote(check: str, uri: str, settings: Settings) -> Finding:
    from scoretrail.storage import Storage

    try:
        storage = Storage(uri, settings.storage.plain())
        key = f".doctor-{uuid.uuid4().hex}"
        storage.put_new(key, b"")
        storage.delete([key])
    except ScoretrailError as error:
        got = f" ({error.got})" if error.got else ""
        return Finding(
            check=check,
            found=uri,
            cause=f"{error.what}{got}",
            fix=error.fix or "check registry.uri, storage.options and the network",
        )
    return Finding(check=check, found=f"{uri}, an object was written and removed")


def _drift_s() -> float:
    """Return how far the file system's time is from the clock's; they differ where a folder lies on another machine."""
    with tempfile.NamedTemporaryFile() as file:
        return Path(file.name).stat().st_mtime - time.time()
