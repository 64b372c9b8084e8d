"""The plan of a run: pieces of work with their keys, what is live already, what goes; and packs for Spark's tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs.batch.plan.scope import Scope
from scoretrail import digest
from scoretrail.trail.output import KEY_DIGITS
from scoretrail.trail.prediction import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from jobs.batch.input.listing import InputFile, InputRoot
    from jobs.batch.input.probe import FileProbe, RowGroupRange
    from scoretrail.digest import Digest
    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile


_PACKS_PER_TASK: Final = 8
"""So many packs keep the last ones short: where one core is slower than the other, a run waits for its last pack."""


@dataclass(frozen=True)
class Work:
    """One piece of work: a file, or a range of row groups of a large one; it has one work key."""

    key: str
    scope: str
    path: str
    """Relative to the root."""
    partition: tuple[tuple[str, str], ...]
    data_sha256: str
    size_bytes: int
    tail_bytes: int
    range: RowGroupRange | None
    rows: int

    @property
    def read_bytes(self) -> int:
        """How much of the file scoring reads."""
        return self.size_bytes if self.range is None else self.range.stop_byte - self.range.start_byte


@dataclass(frozen=True)
class Method:
    """How data is scored, as far as a work key depends on it."""

    score_digest: str
    where: str | None
    partition_by: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a run covers, against what the table holds."""

    work: tuple[Work, ...]
    """All planned work, sorted by path and range, live or not."""
    scopes: Mapping[str, Scope]
    """Every scope the run covers, by id."""
    live: frozenset[str]
    """Keys of planned work that the table holds already."""
    removes: tuple[LiveFile, ...]
    """Live files of the run's scopes that are not planned, or whose keys must be scored again."""

    @property
    def todo(self) -> tuple[Work, ...]:
        """The work that is not live."""
        return tuple(work for work in self.work if work.key not in self.live)

    @property
    def digest(self) -> Digest:
        """The digest of what the run covers, whatever the table holds: the same command finds its own run again."""
        return digest.of_json({"work": sorted(work.key for work in self.work), "scopes": sorted(self.scopes)})


@dataclass(frozen=True)
class Frame:
    """What planning found, for the steps after it."""

    root: InputRoot
    plan: Plan
    table: OutputTable
    guard: Mapping[str, int]
    """Scope -> version of the table's guard that the plan was made on."""
    partition: tuple[tuple[str, pa.DataType], ...]
    role: str
    where: str | None
    input_bytes: int


def make_work(
    root: InputRoot, files: Sequence[tuple[InputFile, FileProbe]], method: Method, model: str, role: str
) -> tuple[Work, ...]:
    """Return the pieces of work that files make, sorted by path and range.

    Args:
        root: the input.
        files: what the listing and the probe said of each file.
        method: how they are scored.
        model: the model's name.
        role: the role it is run in.
    """
    return tuple(
        Work(
            key=_work_key(file, probe, part, method),
            scope=Scope(root.name, file.slice, model, role).id,
            path=file.path,
            partition=file.partition,
            data_sha256=probe.sha256,
            size_bytes=probe.size_bytes,
            tail_bytes=probe.tail_bytes,
            range=part,
            rows=probe.rows if part is None else part.rows,
        )
        for file, probe in files
        for part in probe.ranges or (None,)
    )


def compare(
    work: tuple[Work, ...],
    scopes: Mapping[str, Scope],
    live: Iterable[LiveFile],
    merged_keys: Mapping[str, frozenset[str]],
) -> Plan:
    """Return the plan: planned work against the live files of its scopes.

    Args:
        work: all planned work.
        scopes: the run's scopes by id.
        live: the table's live files; those of other scopes are not looked at.
        merged_keys: path of a merged file -> the work keys in it, by their first digits.

    A merged file stays only if all of its keys are planned: its rows cannot be removed one by one. A key that loses one
    of its files is scored again, and its other files go as well.
    """
    planned = {one.key[:KEY_DIGITS]: one.key for one in work}
    files = [
        (file, merged_keys[file.path] if file.is_merged else frozenset({file.key}))
        for file in live
        if file.scope in scopes
    ]
    going = {key for _, keys in files if not keys <= planned.keys() for key in keys}
    while more := {key for _, keys in files if keys & going for key in keys} - going:
        going |= more
    return Plan(
        work=work,
        scopes=scopes,
        live=frozenset(planned[key] for _, keys in files if not keys & going for key in keys),
        removes=tuple(file for file, keys in files if keys & going),
    )


def pack(work: Sequence[Work], *, tasks: int, split_bytes: int, pack_files: int) -> list[tuple[Work, ...]]:
    """Return splits, largest first: what one Spark task scores. Scheduling only; keys and outputs do not depend on it.

    Args:
        work: what is to be scored.
        tasks: tasks that run at once.
        split_bytes: a pack is closed above this size.
        pack_files: a pack is closed at this many files.
    """
    total = sum(one.read_bytes for one in work)
    # One file alone is a pack in any case.
    target = max(min(split_bytes, total // (_PACKS_PER_TASK * tasks)), 1)
    packs: list[list[Work]] = []
    room, count = 0, 0
    for one in sorted(work, key=lambda item: item.path):
        if not packs or room + one.read_bytes > target or count >= pack_files:
            packs.append([])
            room, count = 0, 0
        packs[-1].append(one)
        room, count = room + one.read_bytes, count + 1
    packs.sort(key=lambda items: -sum(item.read_bytes for item in items))
    return [tuple(items) for items in packs]


def _work_key(file: InputFile, probe: FileProbe, part: RowGroupRange | None, method: Method) -> str:
    return digest.of_json(
        {
            "path": file.path,
            "partition": [list(pair) for pair in file.partition],
            "data": probe.sha256,
            "row_groups": None if part is None else [part.first, part.stop],
            "score_digest": method.score_digest,
            "where": method.where,
            "partition_by": list(method.partition_by),
            "schema_version": SCHEMA_VERSION,
        }
    )
