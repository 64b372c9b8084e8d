"""The machinery of Scoretrail: features, bundles, scoring, trail; no Spark, no Kafka and no Airflow in it."""

from importlib import metadata

__version__ = metadata.version("scoretrail")
