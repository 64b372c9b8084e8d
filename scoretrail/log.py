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
RUN_JUDGED: Final = "run_judged"
"""What a run scored was held against the baseline of its model."""
NO_EXECUTORS: Final = "no_executors"
"""The cluster has no room for the run: it waits."""
PUBLISH_CONFLICT: Final = "publish_conflict"
BUNDLE_LOADED: Final = "bundle_loaded"
ENGINE_FELL_BACK: Final = "engine_fell_back"
"""A bundle that was proven with the tree kernel is scored by ONNX Runtime here: the same scores, later."""
MODEL_REGISTERED: Final = "model_registered"
ALIAS_MOVED: Final = "alias_moved"
TABLE_COMPACTED: Final = "table_compacted"
TABLE_VACUUMED: Final = "table_vacuumed"
WORKER_STARTED: Final = "worker_started"
"""A worker of the stream is about to join its group."""
WORKER_STOPPED: Final = "worker_stopped"
"""A worker of the stream left its group; what it did since its start."""
TRANSACTION: Final = "transaction"
"""The canonical line of a transaction of the stream; those that committed as usual are sampled."""
PARTITIONS_MOVED: Final = "partitions_moved"
"""A rebalance gave or took partitions."""
PARTITIONS_HELD: Final = "partitions_held"
"""Partitions were scored by a newer alias than this worker has loaded: they wait for it."""
BROKER_AWAY: Final = "broker_away"
"""A transaction's fate is unknown: the producer begins anew, and reading goes on at what is committed."""
STORE_AWAY: Final = "store_away"
"""The online store does not answer, and the policy is to wait for it."""
STORE_BACK: Final = "store_back"
"""The online store answers again, and reading goes on."""
RECORD_ISOLATED: Final = "record_isolated"
"""A record that failed its micro-batch was found and became a dead letter."""
ENRICHMENT_FAILED: Final = "enrichment_failed"
"""Second predictions of events that were scored without the store could not be made; the first ones stand."""
MODEL_SWITCHED: Final = "model_switched"
"""The first transaction of a new alias: from these offsets on its partitions are scored by it."""
MODEL_LOADED: Final = "model_loaded"
"""The bundle of a new alias is loaded and warm; the next transaction may be scored by it."""
MODEL_LOAD_FAILED: Final = "model_load_failed"
"""The alias stands for a bundle that cannot be served; the one before goes on serving."""
REDRIVEN: Final = "redriven"
"""The canonical line of a redrive: what was found among the dead letters, and what became of it."""
ARCHIVED: Final = "archived"
"""The canonical line of a commit of the archive, with the offsets that it holds."""
ARCHIVE_CONFLICT: Final = "archive_conflict"
"""Another archiver was faster; what it has committed is left out."""
ARCHIVE_PASSED_OVER: Final = "archive_passed_over"
"""A record that is no prediction of the archive's model, by its position."""
WINDOW_UNCOUNTED: Final = "window_uncounted"
"""Rows were archived and not counted for the verdict on drift, for their bundle or their inputs cannot be read."""
WINDOW_JUDGED: Final = "window_judged"
"""A day of the stream is over, or rows of it came late: it was held against the baseline of its model."""
WINDOWS_LEFT: Final = "windows_left"
"""What was counted of archived rows waits in the archive's log: it could not be copied or judged now."""
HEALTH_PAGE_FAILED: Final = "health_page_failed"
"""The page on a model's health could not be written; what was done is done, and the page before stands."""
ENTITY_ERASED: Final = "entity_erased"
"""An entity was erased; its key is told by its digest only."""
LABELS_JOINED: Final = "labels_joined"
"""The canonical line of a join of outcomes to predictions, with what was found and the verdict."""
CHALLENGER_COMPARED: Final = "challenger_compared"
"""What champion and challenger made of the same events in one window; by segment it is in the report only."""
CHALLENGER_SKIPPED: Final = "challenger_skipped"
"""The challenger lagged too far behind and passed over what lay between."""
METRICS_WRITE_FAILED: Final = "metrics_write_failed"
"""A file of metrics cannot be written; what it is about stands, and whoever watches it hears that it is old."""
CLIENT_WARNING: Final = "client_warning"
"""What Kafka's client has to say, from warnings up."""
TRAIL_WRITE_FAILED: Final = "trail_write_failed"
"""The record of a worker's run cannot be written; scoring goes on, and every prediction has its own trail."""
LOOP_STALLED: Final = "loop_stalled"
"""The loop did not move within its limit: the process ends."""
DRAIN_EXPIRED: Final = "drain_expired"
"""After SIGTERM the loop did not end in time: the process ends anyway."""


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
