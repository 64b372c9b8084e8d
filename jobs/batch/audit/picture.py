"""Evidently's page of a run: a sample of its rows, scored again, beside the sample that its bundle keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.audit.reproduce import context_of, spread, work_of
from jobs.batch.task.work import scored_batches
from scoretrail.errors import BundleError, TrailError
from scoretrail.model.bundle import open_once
from scoretrail.monitor import report
from scoretrail.monitor.baseline import SAMPLE
from scoretrail.monitor.watch import rows_of, watched
from scoretrail.storage import Storage, join
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from scoretrail.config import Settings
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import Registry
    from scoretrail.monitor.report import Page
    from scoretrail.trail.run import ScoringRun

PAGE: Final = "evidently.html"
FIGURES: Final = "evidently.json"
_ROWS: Final = 5_000
_PIECES: Final = 50
"""Of work, that are read for the sample."""


def picture(table: str, run_id: str, registry: Registry, settings: Settings) -> tuple[Page, str]:
    """Make the page of a run and keep it with the run's records; return it, and where it lies.

    Args:
        table: the scored table's URI.
        run_id: a run that scored something, whether it is published or held.
        registry: finds the bundle.
        settings: storage access, ``model.bits`` and ``model.engine``.

    Raises:
        TrailError: the run scored nothing.
        BundleError: its bundle keeps no sample.
        InputError: the input is no longer what was scored.
        DependencyError: Evidently is not installed.
    """
    options = settings.storage.plain()
    storage = Storage(join(table, TRAIL_FOLDER), options)
    store = RunStore(storage)
    store.intent(run_id)
    held = store.held(run_id)
    run = store.find(run_id) or (held.run if held else None)
    if run is None or not run.work:
        raise TrailError(f"run {run_id} scored nothing", where=store.uri, got=store.status(run_id))
    resolved = registry.resolve(run.model["location"], options)
    if SAMPLE not in resolved.files:
        raise BundleError(
            "the bundle keeps no sample of its training data",
            where=run.model["location"],
            fix="register the model with --training-data",
        )
    bundle = open_once(resolved.files, settings.model.bits, settings.model.engine)
    reference = pq.read_table(pa.BufferReader(resolved.files[SAMPLE]))
    columns = watched(bundle.view, bundle.manifest)
    page = report.render(
        reference,
        _sample(run, store, bundle, options),
        [one.name for one in columns if one.is_number],
        [one.name for one in columns if not one.is_number],
        {"run": run_id, "model": f"{run.model['name']} {run.model['version']}", "bundle": run.model["bundle_sha256"]},
    )
    storage.put(f"{run_id}/{PAGE}", page.html.encode())
    storage.put(f"{run_id}/{FIGURES}", page.json.encode())
    return page, join(table, TRAIL_FOLDER, run_id, PAGE)


def _sample(run: ScoringRun, store: RunStore, bundle: Bundle, options: dict[str, str]) -> pa.Table:
    """Return up to 5,000 scored rows, as many from each of some pieces of work, evenly spread in each batch."""
    messages = spread(store.messages(run.run_id, run.work), _PIECES)
    columns = watched(bundle.view, bundle.manifest)
    context = context_of(run, store, options)
    rows = sum(message.rows_in for message in messages)
    parts = []
    for message in messages:
        for batch, _, scored, _ in scored_batches(bundle, work_of(message, context), context):
            found = rows_of(columns, batch, scored)
            wanted = max(found.num_rows * _ROWS // max(rows, _ROWS), 1)
            if found.num_rows:
                places = np.unique(np.linspace(0, found.num_rows - 1, wanted).astype(np.int64))
                parts.append(found.take(pa.array(places)))
    return pa.Table.from_batches(parts)
