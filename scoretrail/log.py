"""Structured logs: JSON unless a person watches; event names are constants; never a feature value."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

RUN_FINISHED: Final = "run_finished"
"""The canonical line of a batch run: one event with everything a dashboard needs."""
RUN_PLANNED: Final = "run_planned"
NO_EXECUTORS: Final = "no_executors"
"""The cluster has no room for the run: it waits."""
PUBLISH_CONFLICT: Final = "publish_conflict"
BUNDLE_LOADED: Final = "bundle_loaded"
MODEL_REGISTERED: Final = "model_registered"
ALIAS_MOVED: Final = "alias_moved"
TABLE_COMPACTED: Final = "table_compacted"
TABLE_VACUUMED: Final = "table_vacuumed"


def configure(level: str = "info", render: Literal["auto", "json", "console"] = "auto") -> None:
    """Send log events to standard error, from ``level`` up.

    Args:
        level: debug, info, warning or error.
        render: ``auto`` is ``console`` on a terminal and ``json`` elsewhere.
    """
    as_json = render == "json" or (render == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(sort_keys=True)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # Looked up at each event: what is standard error may change, and standard output belongs to results.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(**bound: Any) -> FilteringBoundLogger:  # noqa: ANN401  (structlog binds anything that renders)
    """Return a logger with fields bound once; while nobody configured logs, warnings go to standard error."""
    if not structlog.is_configured():
        configure("warning")
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger.bind(**bound) if bound else logger
