"""Files for node_exporter's textfile collector: one for each kind, model, role and output, replaced as a whole."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobs.metrics import sample
from jobs.metrics.catalogue import PREFIX, TABLE
from jobs.metrics.metric import Subject
from scoretrail import digest, log
from scoretrail.errors import ConfigurationError, DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobs.metrics.metric import Sample
    from scoretrail.config import MetricsSettings
    from scoretrail.trail.run import ScoringRun

_LABELS: Final = {metric.name: frozenset(metric.labels) for metric in TABLE}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_DIGITS: Final = 8
"""Of the digest that tells files apart whose names are spelt alike; of some hundred files no two share it."""


class Textfiles:
    """What is told through files; nothing where ``metrics.textfile_folder`` names no folder.

    Telling comes after publishing: a file that cannot be written is a line in the log and fails nothing.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        """Take the settings; nothing is looked at yet."""
        self._settings = settings

    def check(self) -> None:
        """Look whether files can be written, before anything is done that is to be told.

        Raises:
            ConfigurationError: the folder is not there, or not ours to write.
            DependencyError: Prometheus' client is not installed.
        """
        folder = self._settings.textfile_folder
        if folder is None:
            return
        if not (Path(folder).is_dir() and os.access(folder, os.W_OK)):
            raise ConfigurationError(
                "metrics cannot be written",
                where="metrics.textfile_folder",
                expected="a folder that is there, and that this user may write to",
                got=folder,
                fix="make it, the one that node_exporter's --collector.textfile.directory names",
            )
        try:
            importlib.import_module("jobs.metrics.exposition")
        except ImportError as error:
            raise DependencyError(
                "metrics.textfile_folder is set, and Prometheus' client is not installed",
                got=str(error),
                fix="pip install 'scoretrail[batch]'",
            ) from error

    def owner(self, model: str, stated: str) -> str:
        """Return whom a model's alerts go to.

        Args:
            model: its name.
            stated: the owner in the card of its bundle, where the settings say nothing of it.
        """
        return self._settings.owners.get(model, stated)

    def tell_run(self, run: ScoringRun, owner: str, verdict: Mapping[str, Any] | None = None) -> None:
        """Tell of a run that finished or is held, and of the verdict on what it scored.

        Args:
            run: its record.
            owner: as the card states it.
            verdict: ``drift.json``; None where there is none, and what the one before said stays.
        """
        model, role, output = run.model["name"], run.model["role"], run.output["table"]
        self._write("batch", self._subject(model, role, output, owner), sample.of_run(run))
        if verdict is not None:
            self.tell_verdict(verdict, run.finished_at, model=model, role=role, output=output, owner=owner)

    def tell_verdict(
        self, verdict: Mapping[str, Any], judged_at: str, *, model: str, role: str, output: str, owner: str
    ) -> None:
        """Tell of a verdict on drift, of a run or of a stream's window.

        Args:
            verdict: as :meth:`scoretrail.monitor.drift.Verdict.to_json` states it.
            judged_at: RFC 3339, UTC.
            model: the model's name.
            role: what it was run as.
            output: where the scores lie.
            owner: as the card states it.
        """
        self._write("drift", self._subject(model, role, output, owner), sample.of_verdict(verdict, judged_at))

    def tell_labels(self, join: Mapping[str, Any], *, output: str, owners: Mapping[str, str]) -> None:
        """Tell of a join of labels, of each model and role that it is about.

        Args:
            join: ``join.json``.
            output: the table of labelled predictions.
            owners: of each model, as its card states it; one that is missing here is in the settings, or unknown.
        """
        for model, role in sample.subjects_of(join):
            subject = self._subject(model, role, output, owners.get(model, ""))
            self._write("labels", subject, sample.of_labels(join, model, role))

    def tell_verification(self, events: int, faults: int, verified_s: float, subject: Subject) -> None:
        """Tell of a verification of a stream.

        Args:
            events: that were looked at.
            faults: what is not as it should be.
            verified_s: when, seconds since 1970.
            subject: the model, and the topic of its predictions.
        """
        self._write("verify", subject, sample.of_verification(events, faults, verified_s))

    def _subject(self, model: str, role: str, output: str, owner: str) -> Subject:
        return Subject(model=model, role=role, output=output, owner=self.owner(model, owner))

    def _write(self, kind: str, subject: Subject, samples: Iterable[Sample]) -> None:
        folder = self._settings.textfile_folder
        if folder is None:
            return
        from jobs.metrics import exposition  # noqa: PLC0415  (its library is there only where this is configured)

        path = Path(folder) / file_name(kind, subject)
        told = list(samples)
        try:
            exposition.write(path, TABLE, PREFIX, subject, [*told, *_kept(path, {one.name for one in told})])
        except OSError as error:
            log.get().error(log.METRICS_WRITE_FAILED, path=str(path), error=str(error))


def file_name(kind: str, subject: Subject) -> str:
    """Return the name of a file: for people, and different for every output, however it is spelt.

    >>> file_name("batch", Subject("flight-delay", "champion", "s3://lake/scores", "flights"))
    'scoretrail_batch_flight-delay_champion_91c8ef8f.prom'
    """
    place = digest.of_json([subject.model, subject.role, subject.output])[:_DIGITS]
    model, role = (_UNSAFE.sub("-", one) for one in (subject.model, subject.role))
    return f"{PREFIX}{kind}_{model}_{role}_{place}.prom"


def _kept(path: Path, told: set[str]) -> list[Sample]:
    """Return the samples of the file before whose metrics are not told anew; none of a file that cannot be read.

    Another version of ours may have known other metrics, or the same with other labels: those go.
    """
    from jobs.metrics import exposition  # noqa: PLC0415  (as above)

    try:
        before = exposition.read(path.read_text(encoding="utf-8"), PREFIX)
    except (OSError, ValueError):
        return []
    return [one for one in before if one.name not in told and _LABELS.get(one.name) == frozenset(one.labels)]
