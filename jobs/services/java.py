"""The Java that runs Kafka's jars, or the one line that installs it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VERSIONS: Final = ("17", "21")
"""What Spark runs on; Kafka 4 wants 17 or later, so that one Java serves both."""
_HOMES: Final = (
    "/usr/lib/jvm/*17*",
    "/usr/lib/jvm/*21*",
    "/opt/homebrew/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
)
_LIMIT_S: Final = 60
_DEBIAN_WITHOUT_17: Final = 13


def find_java(environment: Mapping[str, str] = os.environ, homes: tuple[str, ...] = _HOMES) -> Path:
    """Return the first Java that fits: JAVA_HOME's, PATH's, then where packages install one.

    Args:
        environment: where ``JAVA_HOME`` and ``PATH`` are looked for.
        homes: patterns of folders where packages install a Java.

    Raises:
        DependencyError: there is none; the message says how to install it.
    """
    seen: list[str] = []
    for java in _candidates(environment, homes):
        version = _version(java)
        if version.partition(".")[0] in _VERSIONS:
            return java.resolve()
        seen.append(f"{version} ({java})")
    raise DependencyError(
        f"Kafka needs Java {' or '.join(_VERSIONS)}", where="JAVA_HOME, PATH", got=", ".join(seen), fix=install_java()
    )


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


def _candidates(environment: Mapping[str, str], homes: tuple[str, ...]) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java", path=environment.get("PATH", os.defpath)):
        yield Path(found)
    for pattern in homes:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            yield folder / "bin" / "java"


def _version(java: Path) -> str:
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return "none that runs"
    found = re.search(r'version "([^"]+)"', told.stderr)
    return found[1] if found else "unknown"


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
