"""The whole report: what is wrong in one line, the problems, and the sections, for the page and the terminal alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.health import activity, movement, quality, serving
from jobs.health.gathering import METRICS
from jobs.health.problem import Problem, headline, problems
from jobs.health.section import Cell, Mark, Section, Table, prose
from jobs.health.wording import ABSENT, counted, moment, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.health.fact import Facts

_STATES: dict[str, Mark] = {"read": "good", "empty": "none", "absent": "none", "failed": "bad"}


@dataclass(frozen=True)
class Report:
    """What is said of a model's health."""

    facts: Facts
    headline: str
    problems: Sequence[Problem]
    sections: Sequence[Section]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values: the facts, and what is wrong."""
        return {
            "headline": self.headline,
            "problems": [one.to_json() for one in self.problems],
            **self.facts.to_json(),
        }


def report(facts: Facts) -> Report:
    """Return what is to be said of a model."""
    found = problems(facts)
    sections = (
        _alerts(facts),
        serving.serving(facts),
        activity.runs(facts),
        activity.stream(facts),
        movement.drift(facts),
        quality.performance(facts),
        quality.labels(facts),
        serving.deployments(facts),
        _sources(facts),
    )
    return Report(facts, headline(found), found, sections)


def _alerts(facts: Facts) -> Section:
    title = "Open alerts"
    if not facts.alerts:
        return Section("alerts", title, activity.nothing(facts.source(METRICS), "No alert is open."))
    rows = [
        [
            Cell(one.name),
            Cell(one.state, "bad" if one.state == "firing" else "note"),
            Cell(one.severity or ABSENT),
            Cell(one.role or ABSENT),
            Cell(moment(one.since)),
            prose(one.summary or ABSENT),
        ]
        for one in facts.alerts
    ]
    columns = ("alert", "state", "severity", "role", "since", "summary")
    return Section("alerts", title, "", (), [Table(counted(len(rows), "open alert"), columns, rows)])


def _sources(facts: Facts) -> Section:
    rows = [
        [Cell(one.name), Cell(plain(one.state), _STATES[one.state]), Cell(one.place or ABSENT), prose(one.detail)]
        for one in facts.sources
    ]
    table = Table("Where these facts come from", ("source", "state", "place", "what"), rows)
    return Section("sources", "Sources", "", (), [table])
