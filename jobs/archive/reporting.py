"""What is said of any span of a stream, on request: the verdict, and Evidently's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.archive.counting import CountedModel, WindowCounter
from jobs.archive.judgement import JudgedSpan, Span, VerdictStore, judge_span
from jobs.archive.picture import picture
from jobs.archive.window_table import WindowTable
from scoretrail.errors import BundleError, OutputTableError, TrailError
from scoretrail.table import OutputTable

if TYPE_CHECKING:
    from datetime import datetime

    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry
    from scoretrail.monitor.report import Page


class SpanReport:
    """Reports on the windows of one archive."""

    def __init__(self, archive: str, registry: Registry, settings: Settings) -> None:
        """Open the archive and its windows.

        Raises:
            OutputTableError: there is no archive, or it has no windows.
        """
        self.uri = archive
        self._settings = settings
        self._registry = registry
        self._options = settings.storage.plain()
        self._archive = OutputTable(archive, self._options)
        self._windows = WindowTable(archive, self._options)
        for table in (self._archive, self._windows.table):
            if not table.exists:
                raise OutputTableError(
                    "there is no table here", where=table.uri, fix="`scoretrail stream archive` makes it"
                )
        self._counter = WindowCounter(registry, self._options)

    def judge(self, start: datetime, end: datetime, role: str, bundle_sha256: str | None) -> JudgedSpan:
        """Return the verdict on a span.

        Args:
            start: of the span, a full hour.
            end: the first moment after it, a full hour.
            role: whose predictions.
            bundle_sha256: the bundle; None takes that of the newest window. Rows of others are left out, and counted.

        Raises:
            TrailError: the span has no window, or none of its rows were counted.
            BundleError: the bundle has no baseline.
        """
        windows = [one for one in self._windows.read(start - (end - start), end) if one.key.role == role]
        here = [one.key for one in windows if one.key.start >= start]
        keys = [key for key in here if bundle_sha256 in (None, key.bundle_sha256)]
        if not keys:
            raise TrailError(
                "there is nothing to judge: no window of the stream lies in this span",
                where=self._windows.table.uri,
                expected=f"{role}, {start.isoformat()} to {end.isoformat()}",
                got=f"windows of {len({key.bundle_sha256 for key in here})} other bundles" if here else None,
            )
        key = keys[-1]
        span = Span(
            start=start,
            end=end,
            role=role,
            model_name=key.model_name,
            model_version=key.model_version,
            bundle_sha256=key.bundle_sha256,
        )
        verdict = judge_span(span, windows, self._model(span), self._settings.drift)
        if verdict is None:
            raise TrailError("none of the rows of this span were counted", where=self._windows.table.uri, got=span.name)
        return JudgedSpan(span, verdict)

    def picture(self, span: Span) -> tuple[Page, str]:
        """Make the page of a span and keep it beside the windows; return it, and where it lies.

        Raises:
            BundleError: the bundle keeps no sample.
            TrailError: the archive has no such row any more.
            DependencyError: Evidently is not installed.
        """
        files = self._registry.resolve(f"models:/{span.model_name}/{span.model_version}", self._options).files
        page = picture(self._archive, span, self._model(span), files)
        return page, VerdictStore(self._windows.table.uri, self._options).put_page(span, page)

    def _model(self, span: Span) -> CountedModel:
        """Return the bundle.

        Raises:
            BundleError: it cannot be read, or has no baseline.
        """
        model = self._counter.model(span.model_name, span.model_version, span.bundle_sha256)
        if model is None:
            raise BundleError(
                "the bundle has no baseline that can be read",
                where=f"{span.model_name} {span.model_version}",
                fix="register the model with --training-data",
            )
        return model
