"""Holds what lies on disk against what a run's trail says: files, commit, bundle, inputs."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pyarrow import fs

from jobs.batch.audit.record import totals
from jobs.batch.audit.reproduce import published_run
from jobs.batch.input.probe import reading
from jobs.batch.output.maintain import vacuumed_paths
from jobs.batch.output.merge import ledger_of
from scoretrail import digest
from scoretrail.clock import from_utc_text
from scoretrail.errors import ScoretrailError, TrailError
from scoretrail.storage import Storage, filesystem, join
from scoretrail.table import RUN_ID, OutputTable
from scoretrail.trail.output import KEY_DIGITS
from scoretrail.trail.run import RUN, TRAIL_FOLDER, RunStore, messages_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry
    from scoretrail.trail.run import OutputFile, ScoringRun, WorkMessage

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
    """How many messages, records, outputs, inputs, bundles and commits were looked at."""
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
        if expected != got:
            self.differs(what, where, str(expected), str(got))
        else:
            self.count(what)

    def differs(self, what: str, where: str, expected: str, got: str) -> None:
        """Tell that a thing is not as it must be."""
        self.count(what)
        self.findings.append(Finding(what, where, "different", expected, got))

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
    messages = _check_messages(store, run, result)
    is_old = from_utc_text(run.finished_at) + timedelta(days=settings.batch.retention_days) < clock.now()
    _check_commit(table, run, result, may_be_gone=is_old)
    _check_bundle(run, registry, options, result)
    places = [(table.uri, _Gone.of(table, options, is_old=is_old))]
    rejects = OutputTable(run.output["rejects"], options)
    places.append((rejects.uri, _Gone.of(rejects, options, is_old=is_old)))
    inputs: dict[str, str | None] = {}
    progress.start(None, len(messages), "verifying")
    try:
        for done, message in enumerate(messages, 1):
            for (uri, gone), files in zip(places, (message.predictions, message.rejects), strict=True):
                for file in files:
                    _check_output(uri, file, gone, options, result)
            if message.source_path not in inputs:
                inputs[message.source_path] = _digest(run.input["root"], message.source_path, options)
            _check_input(run, message, inputs[message.source_path], result)
            progress.update(0, done)
        _check_merged(table, messages, options, result)
        _check_merged(rejects, messages, options, result)
    finally:
        progress.stop()
    return result


@dataclass(frozen=True)
class _Gone:
    """Which files of a table retention may have removed."""

    live: frozenset[str]
    vacuumed: frozenset[str]
    is_old: bool

    @classmethod
    def of(cls, table: OutputTable, options: Mapping[str, str], *, is_old: bool) -> _Gone:
        live = frozenset(file.path for file in table.live_files())
        return cls(live, vacuumed_paths(table.uri, options), is_old)

    def may_be(self, path: str) -> bool:
        return path not in self.live and (self.is_old or path in self.vacuumed)


def _check_messages(store: RunStore, run: ScoringRun, result: Verification) -> list[WorkMessage]:
    """Return the messages that can be read, after looking at all of them and at the record that sums them up."""
    messages = []
    for work_key in run.work:
        try:
            message = store.message(run.run_id, work_key)
        except TrailError as error:
            result.differs("messages", error.where or store.uri, "a message", error.got or error.what)
            continue
        if message is not None:
            messages.append(message)
    result.expect("messages", store.uri, run.output["messages_sha256"], messages_digest(messages))
    sums = totals(messages)
    result.expect("record", f"{store.uri}/{run.run_id}/{RUN}", sums, {name: run.rows.get(name) for name in sums})
    return messages


def _check_commit(table: OutputTable, run: ScoringRun, result: Verification, *, may_be_gone: bool) -> None:
    if run.status == "unchanged":
        return
    entry = next((e for e in table.history() if e.get(RUN_ID) == run.run_id), None)
    if entry is None and may_be_gone:
        result.expired("commit", f"{table.uri}/_delta_log")
        return
    if entry is None:
        result.differs("commit", f"{table.uri}/_delta_log", f"a commit of {run.run_id}", "none")
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


def _check_merged(
    table: OutputTable, messages: Sequence[WorkMessage], options: Mapping[str, str], result: Verification
) -> None:
    """Look at the live files that the run's own were merged into: what readers see is there."""
    ledger = ledger_of(table, options)
    attempts = {(message.work_key[:KEY_DIGITS], message.attempt) for message in messages}
    for file in table.live_files():
        if file.is_merged and attempts & ledger.attempts_in([file]):
            got = _digest(table.uri, file.path, options)
            result.expect("merged", f"{table.uri}/{file.path}", ledger.read(file.path).sha256, got or "no file")


def _check_output(uri: str, file: OutputFile, gone: _Gone, options: Mapping[str, str], result: Verification) -> None:
    where = f"{uri}/{file.path}"
    got = _digest(uri, file.path, options)
    if got is None and gone.may_be(file.path):
        result.expired("outputs", where)
    else:
        result.expect("outputs", where, file.sha256, got or "no file")


def _check_input(run: ScoringRun, message: WorkMessage, got: str | None, result: Verification) -> None:
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
