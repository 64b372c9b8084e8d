"""Counts the rows of an archive, window by window, in the bins of the baseline of the bundle that scored them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from jobs.archive.window import WINDOW_US, Window, WindowKey, start_of
from scoretrail import log
from scoretrail.errors import BundleError, FeatureViewError, PackedError, RegistryError, ScoretrailError
from scoretrail.feature.packed import Layout
from scoretrail.feature.source import load_view
from scoretrail.model.bundle import check_files
from scoretrail.model.manifest import FEATURES
from scoretrail.monitor.baseline import baseline_of
from scoretrail.monitor.watch import archived_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scoretrail.feature.view import FeatureView
    from scoretrail.model.manifest import Manifest
    from scoretrail.model.registry import Registry
    from scoretrail.monitor.baseline import Baseline
    from scoretrail.monitor.tally import Tally

_NAMED: Final = ("role", "model_name", "model_version", "bundle_sha256")
"""The columns that, with the hour, say which window a row belongs to."""


@dataclass(frozen=True)
class CountedModel:
    """A bundle as far as counting needs it: nothing is scored, so its model is not loaded."""

    manifest: Manifest
    view: FeatureView
    baseline: Baseline
    layout: Layout

    def features(self, rows: pa.Table) -> pa.RecordBatch:
        """Return the inputs that archived rows were scored from.

        Raises:
            PackedError: a row's are damaged, or of another view.
        """
        return self.layout.unpack(rows.column("inputs").to_pylist())

    def tally(self, rows: pa.Table) -> Tally:
        """Return what is counted of archived rows.

        Raises:
            PackedError: the inputs of a row are damaged, or of another view.
        """
        gatherer = self.baseline.gatherer(self.view, self.manifest)
        times = rows.column(self.view.event_time).combine_chunks()
        gatherer.count(archived_of(gatherer.watched, self.features(rows), rows), times)
        return gatherer.tally()


class WindowCounter:
    """Counts rows; each bundle is read once."""

    def __init__(self, registry: Registry, options: Mapping[str, str]) -> None:
        """Begin without any bundle.

        Args:
            registry: finds the bundles that rows name.
            options: storage settings.
        """
        self._registry = registry
        self._options = dict(options)
        self._models: dict[tuple[str, str, str], CountedModel | None] = {}

    def count(self, batches: Sequence[pa.RecordBatch], event_time: str) -> list[Window]:
        """Return what the rows are to each window that they belong to, in the order of the windows.

        Args:
            batches: rows of an archive.
            event_time: the column of their event times.

        Raises:
            StorageError: the registry cannot be read.
        """
        found = [self._part(key, rows) for key, rows in _parted(pa.Table.from_batches(batches), event_time)]
        return sorted(found, key=lambda one: one.key)

    def model(self, name: str, version: str, bundle_sha256: str) -> CountedModel | None:
        """Return a bundle; None where the registry has it not, or it has no baseline that can be read.

        Raises:
            StorageError: the registry cannot be read.
        """
        key = (name, version, bundle_sha256)
        if key not in self._models:
            try:
                self._models[key] = self._opened(*key)
            except (RegistryError, BundleError, FeatureViewError) as error:
                self._uncounted(error, name, version)
                self._models[key] = None
        return self._models[key]

    def _opened(self, name: str, version: str, bundle_sha256: str) -> CountedModel | None:
        resolved = self._registry.resolve(f"models:/{name}/{version}", self._options)
        if resolved.digest != bundle_sha256:
            raise BundleError("the registry has another bundle", expected=bundle_sha256, got=resolved.digest)
        baseline = baseline_of(resolved.files)
        if baseline is None:
            return None
        manifest = check_files(resolved.files)
        view = load_view(resolved.files[FEATURES], manifest.view_name)
        baseline.gatherer(view, manifest)  # refuses a baseline of another model now, not at each commit
        return CountedModel(manifest, view, baseline, Layout(view.input_fields))

    def _part(self, key: WindowKey, rows: pa.Table) -> Window:
        model = self.model(key.model_name, key.model_version, key.bundle_sha256)
        if model is not None:
            try:
                return Window(key, rows.num_rows, model.tally(rows), rows.num_rows)
            except PackedError as error:
                self._uncounted(error, key.model_name, key.model_version)
        return Window(key, rows.num_rows, None, 0)

    def _uncounted(self, error: ScoretrailError, name: str, version: str) -> None:
        """Say that rows are archived and not counted: nothing about drift may keep them out of the archive."""
        log.get().warning(log.WINDOW_UNCOUNTED, model=name, version=version, error=error.what)


def _parted(rows: pa.Table, event_time: str) -> Iterator[tuple[WindowKey, pa.Table]]:
    """Yield each window that has rows, and these."""
    hours = rows.column(event_time).cast(pa.int64()).to_numpy() // WINDOW_US
    _, part = np.unique(hours, return_inverse=True)
    for name in _NAMED:
        words = rows.column(name).combine_chunks().dictionary_encode()
        part = part * len(words.dictionary) + words.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(part, kind="stable")
    begins = np.flatnonzero(np.diff(part[order])) + 1
    for places in np.split(order, begins):
        if len(places):
            taken = rows.take(pa.array(places))
            named = {name: taken.column(name)[0].as_py() for name in _NAMED}
            yield WindowKey(start=start_of(int(hours[places[0]]) * WINDOW_US), **named), taken
