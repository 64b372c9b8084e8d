"""The page: one HTML file without a script, that asks nobody for anything; the only import of Jinja2."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from jobs.health.problem import runbook_of
from jobs.health.wording import moment
from scoretrail import __version__
from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from jobs.health.report import Report

_TEMPLATE: Final = "page.html.j2"
_SIGNS: Final = {"good": "✓", "note": "▲", "bad": "✗", "none": "○"}
"""Beside the colour, for whoever does not see it."""
_SEVERITIES: Final = {"page": ("Act now", "bad"), "ticket": ("In working hours", "note"), "info": ("To know", "none")}
"""What a severity asks for, and how it looks."""


def render(report: Report, runbooks: str | None = None) -> str:
    """Return the page.

    Args:
        report: what it says; every text of it is escaped, pictures are our own.
        runbooks: where the runbook pages lie; None links nothing.

    Raises:
        DependencyError: Jinja2 is not installed.
    """
    facts = report.facts
    owners = dict.fromkeys(one.owner for one in facts.standings if one.owner)
    return str(
        _template().render(
            report=report,
            facts=facts,
            now=moment(facts.at),
            owner=", ".join(owners),
            worst=report.problems[0].severity if report.problems else None,
            signs=_SIGNS,
            severities=_SEVERITIES,
            runbook_of=functools.partial(runbook_of, base=runbooks),
            version=__version__,
        )
    )


@functools.cache
def _template() -> Any:  # noqa: ANN401  (Jinja2 loads only where a page is made)
    """Return the compiled template.

    Raises:
        DependencyError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415
    except ImportError as error:
        raise DependencyError(
            "the page on a model's health needs Jinja2", fix="install scoretrail[batch]; `scoretrail status` needs none"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs.health", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["zip"] = zip
    return environment.get_template(_TEMPLATE)
