"""Kafka's jars: fetched once by the Ivy that pyspark ships, cached, and taken only with their pinned digests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import quoteattr

from scoretrail.errors import ChecksumError, DependencyError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSION: Final = "4.3.1"
_PINS: Final = f"kafka-{VERSION}.sha256"
_MODULES: Final = (("org.apache.kafka", "kafka_2.13", VERSION), ("org.slf4j", "slf4j-simple", "1.7.36"))
"""Kafka as Maven has it, and what writes its log: Kafka's own archive adds that, its Maven module does not."""
_FETCH_LIMIT_S: Final = 600.0
_POLL_S: Final = 0.2
_TELLING: Final = re.compile("UNRESOLVED|FAILED|[Ee]rror|[Ee]xception")
_TELLING_LINES: Final = 3
_SETTINGS: Final = """\
<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true"/></resolvers>
</ivysettings>
"""
"""Ivy knows the address by itself."""


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the user's folder for what can be fetched again.

    Args:
        environment: where ``XDG_CACHE_HOME`` is looked for.
    """
    given = environment.get("XDG_CACHE_HOME", "")
    # The specification of these folders says that a relative one is to be ignored.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "scoretrail"


def pinned(text: str | None = None) -> dict[str, str]:
    """Return file name -> sha256 of every jar of Kafka.

    Args:
        text: lines as ``sha256sum`` writes them; default those of this package.
    """
    lines = (text or (resources.files("jobs.services") / _PINS).read_text(encoding="utf-8")).splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


@dataclass(frozen=True, kw_only=True)
class JarCache:
    """Where jars are kept, and where they come from."""

    folder: Path = field(default_factory=default_cache)
    ivy_settings: Path | None = None
    """An Ivy settings file, where jars come from a mirror; default Maven's central repository."""


def kafka_jars(cache: JarCache, java: Path, say: Callable[[str], None] = lambda _: None) -> tuple[Path, ...]:
    """Return the jars, each with the checksum that is pinned for it; fetches them if they are not there.

    Two processes may call it at once: one fetches, the other waits.

    Args:
        cache: where they are kept.
        java: what runs Ivy.
        say: is told what takes long.

    Raises:
        DependencyError: they cannot be fetched.
        ChecksumError: they are not those that were pinned.
        ServiceError: another process has been fetching them for too long.
    """
    pins = pinned()
    folder = cache.folder / f"kafka-{VERSION}"
    if not folder.is_dir():
        cache.folder.mkdir(parents=True, exist_ok=True)
        with _locked(cache.folder / f"{folder.name}.lock"):
            if not folder.is_dir():
                say(f"fetching Apache Kafka {VERSION} (44 MB, once)")
                _fetch(folder, pins, java, cache.ivy_settings)
    check(folder, pins)
    return tuple(folder / name for name in pins)


def check(folder: Path, pins: Mapping[str, str]) -> None:
    """Compare every pinned file with its checksum.

    Raises:
        ChecksumError: a file is missing, or another.
    """
    for name, sha256 in pins.items():
        path = folder / name
        found = _sha256(path) if path.is_file() else None
        if found != sha256:
            raise ChecksumError(
                "a jar of Kafka is not the one that was pinned" if found else "a jar of Kafka is missing",
                where=str(path),
                expected=f"sha256 {sha256}",
                got=f"sha256 {found}" if found else "no file",
                fix=f"find out who wrote there, then remove {folder}: it is fetched again",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fetch(folder: Path, pins: Mapping[str, str], java: Path, ivy_settings: Path | None) -> None:
    """Fetch into a folder beside, check, and move: nobody ever sees a part of it."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
        made = Path(workshop, "made")
        made.mkdir()
        _run_ivy(Path(workshop), made, java, ivy_settings)
        check(made, pins)
        for stray in {path.name for path in made.iterdir()} - set(pins):
            (made / stray).unlink()
        made.rename(folder)


def _run_ivy(workshop: Path, made: Path, java: Path, ivy_settings: Path | None) -> None:
    settings = workshop / "settings.xml"
    shutil.copy(ivy_settings, settings) if ivy_settings else settings.write_text(_SETTINGS, encoding="utf-8")
    wanted = workshop / "ivy.xml"
    wanted.write_text(_ivy_module(), encoding="utf-8")
    arguments = ["-settings", str(settings), "-ivy", str(wanted), "-cache", str(workshop / "ivy"), "-confs", "default"]
    retrieve = ["-retrieve", f"{made}/[artifact]-[revision].[ext]"]
    try:
        done = subprocess.run(
            [java, "-XX:TieredStopAtLevel=1", "-jar", _ivy(), *arguments, *retrieve],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FETCH_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise _unfetched(f"no end after {_FETCH_LIMIT_S:g} s") from error
    if done.returncode != 0:
        raise _unfetched(_telling(done.stdout + done.stderr))


def _ivy_module() -> str:
    lines = [
        f"<dependency org={quoteattr(org)} name={quoteattr(name)} rev={quoteattr(rev)} conf='default'/>"
        for org, name, rev in _MODULES
    ]
    return (
        "<ivy-module version='2.0'><info organisation='scoretrail' module='kafka'/>"
        f"<configurations><conf name='default'/></configurations><dependencies>{''.join(lines)}</dependencies>"
        "</ivy-module>"
    )


def _ivy() -> Path:
    """Return the Ivy that pyspark ships, without importing pyspark.

    Raises:
        DependencyError: pyspark is not installed.
    """
    try:
        home = Path(str(metadata.distribution("pyspark").locate_file("pyspark")))
    except metadata.PackageNotFoundError as error:
        raise DependencyError(
            "Kafka is fetched by the Ivy that pyspark ships, and there is no pyspark",
            expected=f"the jars of kafka-{VERSION} in the cache (setting services.cache), or pyspark",
            fix="pip install 'scoretrail[batch,stream]'",
        ) from error
    return max(home.glob("jars/ivy-*.jar"))


def _unfetched(got: str) -> DependencyError:
    return DependencyError(
        "Kafka's jars cannot be fetched",
        where="Maven's central repository, or the one of services.ivy_settings",
        got=got,
        fix="try again with a network, or name a mirror in an Ivy settings file: services.ivy_settings",
    )


def _telling(output: str) -> str:
    lines = [line.strip() for line in output.splitlines()]
    telling = [line for line in lines if _TELLING.search(line)]
    return "; ".join((telling or lines)[:_TELLING_LINES])


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock between processes; the system gives it back when its holder ends.

    Raises:
        ServiceError: somebody else has held it for too long.
    """
    end = time.monotonic() + _FETCH_LIMIT_S
    with file.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ServiceError("another process is still fetching Kafka", where=str(file)) from None
                time.sleep(_POLL_S)
        yield
