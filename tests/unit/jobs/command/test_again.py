"""The option ``--engine``: what it changes, and that leaving it out changes nothing."""

from __future__ import annotations

import pytest

from jobs.command.again import EngineChoice, scored_by
from scoretrail.config import Settings


@pytest.mark.parametrize("configured", ["auto", "onnxruntime"])
def test_an_engine_replaces_the_configured_one(configured: str) -> None:
    settings = Settings.model_validate({"model": {"engine": configured, "proof_rows": 7000}})

    for engine in EngineChoice:
        chosen = scored_by(settings, engine)
        assert (chosen.model.engine, chosen.model.proof_rows) == (engine.value, 7000)
    assert scored_by(settings, None) is settings
