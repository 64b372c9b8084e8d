"""A driver that scores files and a DataFrame, and whose registry is deleted before Spark starts."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from jobs.batch import score_dataframe
from jobs.batch.request import BatchRequest
from jobs.batch.run import BatchRun, open_registry
from jobs.batch.spark.engine import SparkEngine
from jobs.progress import SilentProgress
from scoretrail import config
from tests.integration.cluster.launch import CLOCK, RUN_ID

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class VanishingRegistry(SparkEngine):
    """Spark that starts in a world without the registry: every executor is younger than its end."""

    def __init__(self, registry: Path, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._registry = registry
        self.was_there: bool | None = None

    def session(self) -> SparkSession:
        if not self.has_started:
            shutil.rmtree(self._registry)
            self.was_there = self._registry.exists()
        return super().session()


def main(place: dict[str, Any], frame: str) -> None:
    settings = {"registry.uri": place["registry"], "spark.master": place["master"], "clock.fixed_at": CLOCK}
    settings |= {f"spark.conf.{name}": value for name, value in place["conf"].items()}
    resolved = config.load(settings)
    bundle = open_registry(resolved.settings).resolve(place["model"])
    registry = Path(place["registry"])
    engine = VanishingRegistry(registry, resolved.settings.spark, "vanishing")
    request = BatchRequest(model=place["model"], input=place["input"], output=place["table"], run_id=RUN_ID)
    BatchRun(request, resolved, engine, SilentProgress()).score()
    records = engine.session().read.parquet(place["input"])
    pq.write_table(score_dataframe(records, bundle).toArrow(), frame)
    engine.stop()
    seen = {"registry_when_spark_started": engine.was_there, "registry_at_the_end": registry.exists()}
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2])
    # As the command line does: PyArrow's pools may abort a process that is torn down.
    sys.stdout.flush()
    os._exit(0)
