"""The Java that Spark would start: which one it is, and what mends it if Spark cannot run on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.command.finding import Finding

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
_DEBIAN_WITHOUT_17: Final = 13


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


def install_java() -> str:
    """Return the line that installs a Java that fits, for this system."""
    admin = "" if os.geteuid() == 0 else "sudo "
    if platform.system() == "Darwin":
        return "brew install openjdk@17"
    if shutil.which("apt-get"):
        return f"{admin}apt-get update && {admin}apt-get install -y openjdk-{_debian_release()}-jre-headless"
    if shutil.which("dnf"):
        return f"{admin}dnf install -y java-21-openjdk-headless"
    return "install a Java 17 or 21 runtime and set JAVA_HOME to it"


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


def _debian_release() -> int:
    """Return the Java that the system packages: Debian 13 and later have no 17."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return 17
    number = system.get("VERSION_ID", str(_DEBIAN_WITHOUT_17)).partition(".")[0]
    if system.get("ID") == "debian" and number.isdigit() and int(number) >= _DEBIAN_WITHOUT_17:
        return 21
    return 17
