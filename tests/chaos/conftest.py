"""The fixtures of the batch job's integration tests, for tests that kill and starve it."""

from tests.integration.batch.conftest import engine, parcel_registry, shop

__all__ = ["engine", "parcel_registry", "shop"]
