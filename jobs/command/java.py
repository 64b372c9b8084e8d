"""The Java that Spark would start: which one it is, and what mends it if Spark cannot run on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.command.finding import Finding
from jobs.services.java import install_java

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSIONS: Final = ("17", "21")
_VECTOR: Final = "jdk.incubator.vector"
"""Spark starts Java with this module; some small runtimes leave it out."""
_HOMES: Final = (
    "/usr/lib/jvm/*",
    "/opt/homebrew/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
)
_LIMIT_S: Final = 60


def check_java(environment: Mapping[str, str] = os.environ, homes: tuple[str, ...] = _HOMES) -> Finding:
    """Return what is found of Java.

    Args:
        environment: ``JAVA_HOME`` and ``PATH``, which Spark follows in this order.
        homes: patterns of folders where packages install a Java.
    """
    java = _spark_java(environment)
    if java is None:
        return _bad("none", "JAVA_HOME is not set, and there is no java on PATH", homes)
    try:
        version = _version(java)
    except (OSError, subprocess.SubprocessError) as error:
        return _bad(str(java), f"it cannot be run: {error}", homes)
    if version.partition(".")[0] not in _VERSIONS:
        return _bad(f"{version} ({java})", f"Spark runs on Java {' or '.join(_VERSIONS)}", homes)
    if not _has_vector(java):
        return _bad(f"{version} ({java})", f"it lacks the module {_VECTOR}, with which Spark starts", homes)
    return Finding(check="Java", found=f"{version} ({java})")


def _bad(found: str, cause: str, homes: tuple[str, ...]) -> Finding:
    fitting = (home for pattern in homes for home in sorted(Path("/").glob(pattern.lstrip("/"))) if _fits(home))
    home = next(fitting, None)
    return Finding(check="Java", found=found, cause=cause, fix=f"export JAVA_HOME={home}" if home else install_java())


def _spark_java(environment: Mapping[str, str]) -> Path | None:
    """Return what Spark's ``spark-class`` would run: JAVA_HOME's, even if it is not there, else PATH's."""
    home = environment.get("JAVA_HOME")
    if home:
        return Path(home) / "bin" / "java"
    found = shutil.which("java", path=environment.get("PATH", os.defpath))
    return Path(found) if found else None


def _fits(home: Path) -> bool:
    java = home / "bin" / "java"
    try:
        return java.is_file() and _version(java).partition(".")[0] in _VERSIONS and _has_vector(java)
    except (OSError, subprocess.SubprocessError):
        return False


def _version(java: Path) -> str:
    text = _run(java, "-version").stderr
    found = re.search(r'version "([^"]+)"', text)
    return found[1] if found else f"unknown: {text.strip()[:100]}"


def _has_vector(java: Path) -> bool:
    return _run(java, "--add-modules", _VECTOR, "-version").returncode == 0


def _run(java: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([java, *arguments], capture_output=True, text=True, check=False, timeout=_LIMIT_S)
