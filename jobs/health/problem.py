"""What is wrong, worst first: a pure function of the facts. Severities are those of the alerts: page, ticket, info."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from jobs.health.gathering import METRICS, REGISTRY, RUNS
from jobs.health.wording import ago, counted, listed, moment, number, plain
from scoretrail.clock import from_utc_text
from scoretrail.model.registry import CHAMPION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.health.fact import Alert, Assessment, DriftSeries, Facts, Run

Severity = Literal["page", "ticket", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket", "info")
_DRIFT: Final = "ScoretrailDrift"
_LATE_S: Final = 3600
"""A run that is unfinished for so long is worth a look: most take minutes."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    severity: Severity
    """*page*: somebody acts now; *ticket*: in working hours; *info*: good to know."""
    what: str
    detail: str = ""
    runbook: str | None = None
    """Name of the alert whose page says what to do."""
    runbook_url: str | None = None
    """Where the alert itself says that the page is."""
    command: str | None = None
    """What mends it, or shows more."""
    role: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the problem as JSON values."""
        return asdict(self)


def problems(facts: Facts) -> list[Problem]:
    """Return what is wrong, worst first; an alert about what the facts show anyway is not said twice."""
    found = [*_of_registry(facts), *_of_runs(facts), *_of_drift(facts), *_of_performance(facts), *_of_sources(facts)]
    firing = [one for one in facts.alerts if one.state == "firing"]
    known = {(_matter(one.runbook or ""), one.role) for one in found}
    alerts = [_of_alert(one) for one in firing if (_matter(one.name), one.role) not in known]
    agreed = [_at_least(one, [alert for alert in firing if _is_about(alert, one)]) for one in found]
    # Python's sort keeps the order within a severity: alerts, then as above.
    return sorted([*alerts, *agreed], key=lambda one: SEVERITIES.index(one.severity))


def headline(found: Sequence[Problem]) -> str:
    """Return in one line whether something is wrong, and what.

    >>> headline([])
    'Nothing is wrong that is known here.'
    """
    if not found:
        return "Nothing is wrong that is known here."
    more = f", and {counted(len(found) - 1, 'other thing')}" if len(found) > 1 else ""
    return f"{found[0].what}{more}"


def _of_alert(alert: Alert) -> Problem:
    return Problem(
        severity=_severity(alert),
        what=alert.summary or alert.name,
        detail=f"alert {alert.name} fires" + (f" since {moment(alert.since)}" if alert.since else ""),
        runbook=alert.name,
        runbook_url=alert.runbook_url,
        role=alert.role,
    )


def _severity(alert: Alert) -> Severity:
    """Return an alert's severity; one with a word of its own is taken for the worst that it may be."""
    if alert.severity in {"info", "none"}:
        return "info"
    return "ticket" if alert.severity in {"ticket", "warning"} else "page"


def _at_least(problem: Problem, alerts: Sequence[Alert]) -> Problem:
    worst = min((problem.severity, *map(_severity, alerts)), key=SEVERITIES.index)
    return replace(problem, severity=worst)


def _is_about(alert: Alert, problem: Problem) -> bool:
    return (_matter(alert.name), alert.role) == (_matter(problem.runbook or ""), problem.role)


def _matter(alert: str) -> str:
    """Return what an alert is about: that of drift has three steps."""
    return _DRIFT if alert in {f"{_DRIFT}Warning", f"{_DRIFT}Confirmed"} else alert


def _of_registry(facts: Facts) -> Iterator[Problem]:
    source = facts.source(REGISTRY)
    if source is not None and source.state != "failed" and facts.standing(CHAMPION) is None:
        yield Problem(
            severity="page",
            what=f"{facts.model} has no champion",
            detail="batch runs and workers that ask for models:/NAME@champion find nothing",
            command=f"scoretrail model alias {facts.model} champion VERSION",
        )


def _of_runs(facts: Facts) -> Iterator[Problem]:
    source = facts.source(RUNS)
    table = shlex.quote(source.place) if source and source.place else "TABLE"
    for run in reversed(facts.runs):
        if run.status == "damaged":
            yield Problem(
                severity="ticket",
                what=f"the record of run {run.run_id} cannot be read",
                detail=run.damaged or "",
                command=f"scoretrail runs show {shlex.quote(run.run_id)} --table {table}",
            )
        elif not run.is_settled:
            yield from _of_open_run(run, facts.at, table)


def _of_open_run(run: Run, now: str, table: str) -> Iterator[Problem]:
    about = _about(run)
    named = f"{shlex.quote(run.run_id)} --table {table}"
    if run.status == "held":
        yield Problem(
            severity="ticket",
            what=f"run {run.run_id} is held: its scores are not published",
            detail=f"{about}, {counted(run.rows.get('scored', 0), 'row')}, drift: {plain(run.level or 'no verdict')}",
            runbook="ScoretrailBatchHeld",
            command=f"scoretrail runs release {named}",
            role=run.role,
        )
    elif run.status == "refused":
        yield Problem(
            severity="page",
            what=f"run {run.run_id} was refused: a limit was exceeded, nothing of it is published",
            detail=f"{about}, {number(run.rows.get('rejected'))} of {number(run.rows.get('in'))} rows rejected",
            runbook="ScoretrailBatchRefused",
            command=f"scoretrail runs show {named}",
            role=run.role,
        )
    elif _is_late(run, now):
        yield Problem(
            severity="ticket",
            what=f"run {run.run_id} began {ago(run.started_at, now)} and has not finished",
            detail=f"{about}; if no process works on it any more, the same command takes it up again",
            command=f"scoretrail runs show {named}",
            role=run.role,
        )


def _of_drift(facts: Facts) -> Iterator[Problem]:
    source = facts.source(RUNS)
    table = shlex.quote(source.place) if source and source.place else "TABLE"
    for one in facts.series:
        raised = [trend.name for trend in one.trends if trend.level == one.level]
        more = f"scoretrail drift report --run {shlex.quote(one.run_id)} --table {table}" if one.run_id else None
        about = f"{listed(raised)}; {one.source}, newest verdict on {one.points[-1]}"
        if one.level == "drift":
            confirmed = [trend.name for trend in one.trends if trend.is_confirmed]
            yield Problem(
                severity=_drift_severity(one, is_confirmed=bool(confirmed)),
                what=f"{one.role} {one.version} drifted from its baseline: {', '.join(_kinds(one, 'drift'))}",
                detail=about + (f"; confirmed by the verdict before: {listed(confirmed)}" if confirmed else ""),
                runbook=f"{_DRIFT}Confirmed" if confirmed else _DRIFT,
                command=more,
                role=one.role,
            )
        elif one.level == "warn":
            yield Problem(
                severity="info",
                what=f"{one.role} {one.version} begins to drift: {', '.join(_kinds(one, 'warn'))}",
                detail=about,
                runbook=f"{_DRIFT}Warning",
                command=more,
                role=one.role,
            )


def _drift_severity(one: DriftSeries, *, is_confirmed: bool) -> Severity:
    # Nobody is woken for a challenger: it decides nothing.
    is_serious = is_confirmed or "drift" in {one.kinds.get("prediction"), one.kinds.get("upstream")}
    return "page" if is_serious and one.role == CHAMPION else "ticket"


def _of_performance(facts: Facts) -> Iterator[Problem]:
    for one in facts.labels.assessments if facts.labels else ():
        if one.kind == "rolling" and one.level in {"warn", "drift"}:
            is_drift = one.level == "drift"
            severe: Severity = "page" if one.role == CHAMPION else "ticket"
            yield Problem(
                severity=severe if is_drift else "info",
                what=f"{one.role} {one.version} is worse than promised: {listed(_behind(one))}",
                detail=f"{one.start} to {one.end}, {counted(one.rows, 'labelled row')}"
                + ("; the whole interval lies on the bad side of the promised one" if is_drift else ""),
                runbook="ScoretrailConceptDrift",
                role=one.role,
            )


def _of_sources(facts: Facts) -> Iterator[Problem]:
    for one in facts.sources:
        # A damaged run was named already.
        if one.state == "failed" and not (one.name == RUNS and any(run.status == "damaged" for run in facts.runs)):
            yield Problem(
                severity="info" if one.name == METRICS else "ticket",
                what=f"{one.name} cannot be read whole: what follows leaves it out",
                detail=f"{one.place}: {one.detail}",
            )


def _behind(one: Assessment) -> list[str]:
    return [plain(name) for name, level in one.behind.items() if level == one.level] or ["its figures"]


def _kinds(one: DriftSeries, level: str) -> list[str]:
    return [kind for kind, found in one.kinds.items() if found == level]


def _about(run: Run) -> str:
    slices = run.slices[0] if len(run.slices) == 1 else counted(len(run.slices), "slice")
    return f"{slices}, {run.role} {run.version}" if run.slices else f"{run.role} {run.version}"


def _is_late(run: Run, now: str) -> bool:
    return (from_utc_text(now) - from_utc_text(run.started_at)).total_seconds() > _LATE_S


def runbook_of(problem: Problem, base: str | None) -> tuple[str, str | None] | None:
    """Return the name of a problem's runbook page and where a link leads to; None where there is no page.

    Args:
        problem: what is wrong.
        base: where the pages lie; None links only what an alert itself names.
    """
    if problem.runbook is None:
        return None
    if base is not None:
        return problem.runbook, f"{base.rstrip('/')}/{quote(problem.runbook)}.md"
    # Another may write an alert's notes than us: no link may run anything.
    named = problem.runbook_url or ""
    return problem.runbook, named if named.startswith(("https://", "http://")) else None
