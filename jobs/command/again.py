"""What scores again: the option ``--engine`` of the commands that reproduce."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scoretrail.config import Settings


class EngineChoice(StrEnum):
    """What may score rows again."""

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"


EngineOption = Annotated[
    EngineChoice | None, typer.Option("--engine", help="What scores them again (model.engine).", show_default=False)
]


def scored_by(settings: Settings, engine: EngineChoice | None) -> Settings:
    """Return settings by which an engine scores; None leaves ``model.engine`` as it is."""
    if engine is None:
        return settings
    return settings.model_copy(update={"model": settings.model.model_copy(update={"engine": engine.value})})
