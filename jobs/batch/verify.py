"""Holds what lies on disk against what a run's trail says: files, commit, bundle, inputs."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pyarrow import fs

from jobs.batch.probe import reading
from jobs.batch.reproduce import published_run
from scoretrail import digest
from scoretrail.clock import from_utc_text
from scoretrail.errors import ScoretrailError
from scoretrail.storage import Storage, filesystem, join
from scoretrail.trail.run import TRAIL_FOLDER, RunStore, messages_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry
    from scoretrail.table import OutputTable
    from scoretrail.trail.run import ScoringRun, WorkMessage

Verdict = Literal["ok", "different", "expired"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at and is not as the trail says."""

    what: str
    where: str
    verdict: Verdict
    expected: str
    got: str


@dataclass
class Verification:
    """What was looked at, and what was found."""

    run_id: str
    checked: dict[str, int] = field(default_factory=dict)
    """How many messages, outputs, inputs, bundles and commits were looked at."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def different(self) -> int:
        """How many things differ; what retention removed does not."""
        return sum(finding.verdict == "different" for finding in self.findings)

    def count(self, what: str) -> None:
        """Add one to what was looked at."""
        self.checked[what] = self.checked.get(what, 0) + 1

    def expect(self, what: str, where: str, expected: object, got: object) -> None:
        """Look at one thing."""
        self.count(what)
        if expected != got:
            self.findings.append(Finding(what, where, "different", str(expected), str(got)))

    def expired(self, what: str, where: str) -> None:
        """Tell that retention removed a thing."""
        self.count(what)
        self.findings.append(Finding(what, where, "expired", "to be there", "removed by retention"))

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run_id": self.run_id,
            "checked": dict(self.checked),
            "different": self.different,
            "expired": sum(finding.verdict == "expired" for finding in self.findings),
            "findings": [vars(finding) for finding in self.findings],
        }


def verify(
    table: OutputTable, run_id: str, registry: Registry, settings: Settings, clock: Clock, progress: Progress
) -> Verification:
    """Return what of a run is no longer as its trail says.

    Raises:
        TrailError: there is no such run, or it published nothing.
    """
    options = settings.storage.plain()
    store = RunStore(Storage(join(table.uri, TRAIL_FOLDER), options))
    run = published_run(store, run_id)
    result = Verification(run_id)
    messages = store.messages(run_id, run.work)
    result.expect("messages", store.uri, run.output["messages_sha256"], messages_digest(messages))
    _check_commit(table, run, result)
    _check_bundle(run, registry, options, result)
    keep = timedelta(days=settings.batch.retention_days)
    may_be_gone = from_utc_text(run.finished_at) + keep < clock.now()
    progress.start(None, len(messages), "verifying")
    try:
        for done, message in enumerate(messages, 1):
            _check_outputs(table.uri, run, message, options, result, may_be_gone=may_be_gone)
            _check_input(run, message, options, result)
            progress.update(0, done)
    finally:
        progress.stop()
    return result


def _check_commit(table: OutputTable, run: ScoringRun, result: Verification) -> None:
    if run.status == "unchanged":
        return
    entry = next((e for e in table.history() if e.get("scoretrail.run_id") == run.run_id), None)
    if entry is None:
        result.expired("commit", f"{table.uri}/_delta_log")
        return
    where = f"{table.uri} version {entry['version']}"
    for name, expected in (
        ("bundle_sha256", run.model["bundle_sha256"]),
        ("plan_sha256", run.plan_sha256),
        ("messages_sha256", run.output["messages_sha256"]),
    ):
        result.expect("commit", f"{where}, {name}", expected, entry.get(f"scoretrail.{name}"))


def _check_bundle(run: ScoringRun, registry: Registry, options: Mapping[str, str], result: Verification) -> None:
    where = run.model["location"]
    try:
        got: str = registry.resolve(where, options).digest
    except ScoretrailError as error:
        got = error.what
    result.expect("bundle", where, run.model["bundle_sha256"], got)


def _check_outputs(
    table: str,
    run: ScoringRun,
    message: WorkMessage,
    options: Mapping[str, str],
    result: Verification,
    *,
    may_be_gone: bool,
) -> None:
    for uri, files in ((table, message.predictions), (run.output["rejects"], message.rejects)):
        for file in files:
            where = f"{uri}/{file.path}"
            got = _digest(uri, file.path, options)
            if got is None and may_be_gone:
                result.expired("outputs", where)
            else:
                result.expect("outputs", where, file.sha256, got or "no file")


def _check_input(run: ScoringRun, message: WorkMessage, options: Mapping[str, str], result: Verification) -> None:
    got = _digest(run.input["root"], message.source_path, options)
    where = join(run.input["root"], message.source_path)
    if got is None:
        result.expired("inputs", where)
    else:
        result.expect("inputs", where, message.data_sha256, got)


def _digest(uri: str, path: str, options: Mapping[str, str]) -> str | None:
    place, base = filesystem(uri, options)
    full = posixpath.join(base, path)
    if place.get_file_info(full).type is fs.FileType.NotFound:
        return None
    with reading(full), place.open_input_stream(full) as stream:
        return digest.of_stream(stream)[0]


def findings_table(findings: Sequence[Finding]) -> list[tuple[str, str, str, str, str]]:
    """Return findings as rows: verdict, what, where, expected, got."""
    return [(one.verdict, one.what, one.where, one.expected, one.got) for one in findings]
