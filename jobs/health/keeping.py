"""Keeps the page of a model beside its predictions, whoever changed something; it never fails what went before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.health.gathering import Subject, gather
from jobs.health.page import render
from jobs.health.report import report
from scoretrail import log
from scoretrail.storage import Storage, join, normalise_uri
from scoretrail.trail.run import HEALTH, TRAIL_FOLDER

if TYPE_CHECKING:
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry

_GOT_CHARACTERS: Final = 300


def subject_of(
    settings: Settings, model: str, *, table: str | None = None, archive: str | None = None, labelled: str | None = None
) -> Subject:
    """Return a model with every place that is known.

    Args:
        settings: name the places that are not given.
        model: its name in the registry.
        table: the scored table; None leaves the setting in force.
        archive: that of the stream; the same.
        labelled: the labelled table; the same.
    """
    chosen = (table or settings.batch.table, archive or settings.archive.table, labelled or settings.labels.table)
    table, archive, labelled = (normalise_uri(place) if place else None for place in chosen)
    return Subject(model=model, table=table, archive=archive, labelled=labelled, prometheus=settings.health.prometheus)


def keep_page(subject: Subject, registry: Registry, settings: Settings, clock: Clock) -> str | None:
    """Write the page of a model and return where; a failure is a warning in the log, and None.

    It lies below the scored table, ``_scoretrail/health/MODEL.html``; without one, below the archive, or else below the
    labelled table.

    Args:
        subject: the model and its places.
        registry: has its versions and aliases.
        settings: how storage is reached.
        clock: says when this is.
    """
    beside = subject.table or subject.archive or subject.labelled
    if beside is None:
        return None
    key = f"{HEALTH}/{subject.model}.html"
    place = join(beside, TRAIL_FOLDER, key)
    try:
        text = render(report(gather(subject, registry, settings, clock)), settings.health.runbooks)
        Storage(join(beside, TRAIL_FOLDER), settings.storage.plain()).put(key, text.encode())
    except Exception as error:  # noqa: BLE001  (a run that is published must not end with a failure of its page)
        got = f"{type(error).__name__}: {error}"[:_GOT_CHARACTERS]
        log.get().warning(log.HEALTH_PAGE_FAILED, page=place, error=got)
        return None
    return place
