"""A workshop whose tasks run in this process: what is tested here is planning, reading, writing and publishing."""

from pathlib import Path

import pytest

from tests.factory.workshop import InlineEngine, Workshop
from tests.integration.batch.conftest import parcel_registry

__all__ = ["parcel_registry"]


@pytest.fixture
def shop(tmp_path: Path, parcel_registry: Path) -> Workshop:
    """An empty input and no table yet."""
    return Workshop(tmp_path / "shop", parcel_registry, InlineEngine())  # type: ignore[arg-type]
