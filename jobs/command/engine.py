"""The engines at work: ONNX Runtime runs a tiny model, Spark's jars are those of the installed pyspark."""

from __future__ import annotations

import base64
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.command.dependency import AGAIN, installer_line
from jobs.command.finding import Finding, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

TINY_MODEL: Final = base64.b64decode(
    "CAg6RAoOCgF4CgF4EgF5IgNBZGQSBmRvdWJsZVoUCgF4Eg8KDQgBEgkKAxIBbgoCCAFiFAoBeRIPCg0IARIJCgMSAW4KAggBQgQKABAR"
)
"""An ONNX graph of one operator, y = x + x, float32 (rows, 1); a test makes it again."""


def check_onnxruntime(model: bytes = TINY_MODEL) -> Finding:
    """Return whether ONNX Runtime doubles numbers exactly.

    Args:
        model: a graph that does so.
    """
    import numpy as np

    from scoretrail.model.manifest import Output
    from scoretrail.model.scorer import OnnxScorer, engine_version

    check, given = "ONNX Runtime", np.array([[1.5], [-0.25]], np.float32)
    try:
        scorer = OnnxScorer(model, Output(task="regression", name="y", form="matrix"), None)
        scores = scorer.score_batch({"x": given})
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
        cause = f"it cannot run a model: {first_line(error)}"
        again = installer_line("install", *AGAIN, f"onnxruntime=={engine_version()}")
        return Finding(check=check, found=engine_version(), cause=cause, fix=again)
    if not np.array_equal(scores, given * 2):
        wrong = "it adds wrongly: this machine cannot be trusted with scores"
        return Finding(check=check, found=engine_version(), cause=wrong, fix="run on another machine")
    return Finding(check=check, found=f"{engine_version()}, runs a model")


def check_spark_home(environment: Mapping[str, str] = os.environ) -> Finding:
    """Return whether the Spark that would start is the installed pyspark's: ``SPARK_HOME`` may name another.

    Args:
        environment: where ``SPARK_HOME`` is looked for.
    """
    version = metadata.version("pyspark")
    named = environment.get("SPARK_HOME")
    home = Path(named) if named else Path(str(metadata.distribution("pyspark").locate_file("pyspark")))
    found = sorted(path.stem.rpartition("-")[2] for path in home.glob("jars/spark-core_*.jar"))
    if found == [version]:
        return Finding(check="Spark's jars", found=f"{version} ({home})")
    return Finding(
        check="Spark's jars",
        found=f"{', '.join(found) or 'none'} ({home})",
        cause=f"pyspark is {version}, and starts only jars of its own version",
        fix="unset SPARK_HOME" if named else installer_line("install", *AGAIN, f"pyspark=={version}"),
    )
