"""A registry and tables that hold records only."""

from pathlib import Path

import pytest

from tests.factory.health import Ward


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    """A model with two versions, the first of them the champion, and no run yet."""
    found = Ward(tmp_path)
    found.publish("1.0.0", "1.1.0", "2.0.0")
    found.move("champion", "1.0.0", reason="first")
    return found
