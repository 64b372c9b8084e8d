"""``scoretrail doctor``: what this environment lacks, why, and the line that mends it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.invocation import Invocation
from scoretrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.command.finding import Finding
    from scoretrail.config import Settings


def doctor(
    invocation: Invocation,
    spark: Annotated[
        bool, typer.Option("--spark", help="Start Spark on the configured master, import on each executor.")
    ] = False,
    master: Annotated[str | None, typer.Option(metavar="URL", help="Spark master, over spark.master.")] = None,
) -> None:
    """Check Java, Spark, ONNX Runtime, versions, disk, clock and places; say what mends what is wrong.

    Exits with 78 if anything required is missing.
    """
    invocation.override({"spark.master": master})
    terminal, settings = invocation.terminal, invocation.settings
    terminal.step("examining the environment")
    findings = examine(settings)
    if spark and all(finding.is_good for finding in findings):
        terminal.step(f"starting Spark on {settings.spark.master}")
        findings += executors(settings)
    elif spark:
        terminal.warn("Spark was not started: mend the rest first")
    terminal.table("environment", ("", "check", "found"), [(one.mark, one.check, one.found) for one in findings])
    bad = [finding for finding in findings if not finding.is_good]
    for finding in bad:
        terminal.text(f"{finding.mark} {finding.check}: {finding.cause}\n    {finding.fix}")
    terminal.result({"ok": not bad, "findings": [_as_json(finding) for finding in findings]})
    refuse(bad, len(findings))
    terminal.next("scoretrail model list" if spark else "scoretrail doctor --spark")


def refuse(bad: Sequence[Finding], checks: int) -> None:
    """Raise if a check failed.

    Raises:
        ConfigurationError: one did.
    """
    if bad:
        raise ConfigurationError(
            f"{len(bad)} of {checks} checks failed",
            got=", ".join(finding.check for finding in bad),
            fix="run the line that stands under each",
        )


def examine(settings: Settings) -> list[Finding]:
    """Return what is found of this machine and its libraries, without starting Spark."""
    from jobs.command.dependency import check_import, check_versions
    from jobs.command.engine import check_onnxruntime, check_spark_home
    from jobs.command.finding import Finding
    from jobs.command.java import check_java
    from jobs.command.machine import check_clock, check_places, check_time_zones
    from scoretrail.clock import SystemClock

    libraries = [check_import(name) for name in ("pyspark", "onnxruntime", "pyarrow", "deltalake")]
    starts = {finding.check for finding in libraries if finding.is_good}
    findings = [Finding(check="Python", found=f"{sys.version.partition(' ')[0]} ({sys.executable})"), check_java()]
    findings += libraries
    if "pyspark" in starts:
        findings.append(check_spark_home())
    if {"onnxruntime", "pyarrow"} <= starts:
        findings.append(check_onnxruntime())
    findings += check_versions()
    findings.append(check_clock(SystemClock()))
    if "pyarrow" in starts:
        findings.append(check_time_zones())
    return findings + check_places(settings)


def executors(settings: Settings) -> list[Finding]:
    """Return what is found of the executors."""
    from jobs.command.executor import check_executors

    return check_executors(settings.spark)


def _as_json(finding: Finding) -> dict[str, str | bool | None]:
    return {
        "check": finding.check,
        "ok": finding.is_good,
        "found": finding.found,
        "cause": finding.cause,
        "fix": finding.fix,
    }
