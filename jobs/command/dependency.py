"""The installed libraries: whether each starts in a process of its own, and whether its version is one we run on."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final

from jobs.command.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LIMIT_S: Final = 120
_IMPORT: Final = "import importlib, sys; importlib.import_module(sys.argv[1])"
AGAIN: Final = ("--force-reinstall", "--no-deps")
"""Arguments of an installer that bring a package's own files back, and nothing else."""
_PARTS: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?(?P<specifiers>[^;]*)(?:;(?P<marker>.*))?")
_EXTRA: Final = re.compile(r"extra == ['\"](?P<extra>[^'\"]+)['\"]")

SIGN_OF_EXTRA: Final = {
    "batch": "pyspark",
    "stream": "kafka-python",
    "otel": "opentelemetry-sdk",
    "drift": "evidently",
    "trees": "llvmlite",
    "train": "skl2onnx",
    "signing": "model-signing",
}
"""An extra counts as installed where this package of it is."""
REASONS: Final = {
    "pandas": "pyspark 4.3 warns on pandas 3, and evidently does not import with 3.1",
    "protobuf": "skl2onnx cannot convert HistGradientBoosting under protobuf 7",
    "onnx": "an older one follows paths of external data out of the model's folder",
    "onnxruntime": "an older one follows paths of external data out of the model's folder",
    "crc32c": "without it kafka-python is three to five times slower",
    "kafka-python": "3.0.0 to 3.0.11 stall and lose partitions",
    "pyopenssl": "model-signing imports it without saying so",
}
INTRUDERS: Final = ("pyspark-client", "pyspark-connect")
"""Packages that write over pyspark's own files; Airflow's Spark provider brings the first."""


@dataclass(frozen=True)
class Requirement:
    """One line of our own package's requirements."""

    name: str
    specifiers: tuple[tuple[str, str], ...]
    extra: str | None

    def __str__(self) -> str:
        """Return it as installers read it."""
        return self.name + ",".join(operator + version for operator, version in self.specifiers)

    def allows(self, version: str) -> bool:
        """Tell whether a version fits.

        >>> parse("pandas<3,>=2.2; extra == 'batch'").allows("2.3.3"), parse("pandas<3,>=2.2").allows("3.0.1")
        (True, False)
        """
        given = numbers(version)
        return all(_COMPARISONS[operator](given, numbers(wanted)) for operator, wanted in self.specifiers)


_COMPARISONS: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    ">=": lambda given, wanted: given >= wanted,
    "<=": lambda given, wanted: given <= wanted,
    "==": lambda given, wanted: given == wanted,
    "!=": lambda given, wanted: given != wanted,
    ">": lambda given, wanted: given > wanted,
    "<": lambda given, wanted: given < wanted,
}


def parse(line: str) -> Requirement:
    """Return a requirement as package metadata states it; markers other than an extra are passed over.

    >>> str(parse("moto[server]>=5.1.13; extra == 'dev'"))
    'moto>=5.1.13'
    """
    found = _PARTS.match(line)
    name, specifiers, marker = (found["name"], found["specifiers"], found["marker"]) if found else (line, "", None)
    extra = _EXTRA.search(marker or "")
    pairs = re.findall(r"(>=|<=|==|!=|>|<)\s*([0-9][^,\s]*)", specifiers)
    return Requirement(re.sub(r"[-_.]+", "-", name).lower(), tuple(pairs), extra["extra"] if extra else None)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers without trailing zeros, so that 3 is 3.0; what follows them is passed over.

    >>> numbers("26.0.1"), numbers("3.0.0rc1"), numbers("2.3.0+cpu")
    ((26, 0, 1), (3,), (2, 3))
    """
    parts = []
    for part in version.partition("+")[0].split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        parts.append(int(digits[0]))
        if digits[0] != part:
            break
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def installed_version(name: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_versions(
    lines: Iterable[str] | None = None, version_of: Callable[[str], str | None] = installed_version
) -> list[Finding]:
    """Return what is found of versions: one finding for each that does not fit, or one that all do.

    Args:
        lines: requirements; default those of our own package.
        version_of: distribution -> version, or None where it is not installed.
    """
    requirements = [parse(line) for line in (lines if lines is not None else metadata.requires("scoretrail") or [])]
    counting = [one for one in requirements if _counts(one, version_of)]
    bad = [_misfit(one, version_of(one.name)) for one in counting if not _fits(one, version_of(one.name))]
    bad += [_intruder(name, version_of(name)) for name in INTRUDERS if version_of(name) is not None]
    # Two extras may ask for one thing.
    return list(dict.fromkeys(bad)) or [Finding(check="versions", found=f"{len(counting)} requirements hold")]


def check_import(package: str) -> Finding:
    """Return whether a library starts, tried in a process of its own, which it may bring down.

    Args:
        package: the name of the package and of its module.
    """
    version = installed_version(package)
    if version is None:
        return Finding(
            check=package, found="none", cause="it is not installed", fix=installer_line("install", _wanted(package))
        )
    command = [sys.executable, "-W", "ignore", "-c", _IMPORT, package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        return Finding(check=package, found=version, cause=f"its import takes more than {_LIMIT_S} s", fix="try again")
    if done.returncode == 0:
        return Finding(check=package, found=version)
    words = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
    again = installer_line("install", *AGAIN, f"{package}=={version}")
    return Finding(check=package, found=version, cause=f"its import fails: {words}", fix=again)


def installer_line(verb: str, *arguments: str) -> str:
    """Return a line that changes this very environment, by pip where it has one, else by uv."""
    if importlib.util.find_spec("pip") is not None:
        confirmed = ["-y"] if verb == "uninstall" else []
        return shlex.join([sys.executable, "-m", "pip", verb, *confirmed, *arguments])
    return shlex.join(["uv", "pip", verb, "--python", sys.executable, *arguments])


def _counts(requirement: Requirement, version_of: Callable[[str], str | None]) -> bool:
    if requirement.extra is None:
        return True
    sign = SIGN_OF_EXTRA.get(requirement.extra)
    return sign is not None and version_of(sign) is not None


def _fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.allows(version)


def _misfit(requirement: Requirement, version: str | None) -> Finding:
    reason = REASONS.get(requirement.name)
    cause = f"{requirement} is needed" + (f": {reason}" if reason else "")
    return Finding(
        check=requirement.name, found=version or "none", cause=cause, fix=installer_line("install", str(requirement))
    )


def _intruder(name: str, version: str | None) -> Finding:
    return Finding(
        check=name,
        found=version or "none",
        cause="it writes over pyspark's files; what needs it, such as Airflow, wants an environment of its own",
        fix=f"{installer_line('uninstall', name)} && {installer_line('install', *AGAIN, _wanted('pyspark'))}",
    )


def _wanted(package: str) -> str:
    lines = metadata.requires("scoretrail") or []
    return next((str(one) for one in map(parse, lines) if one.name == package), package)
