"""One built partition: what it was made of, what it holds, and putting it in its place."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq
from pyarrow import fs

from jobs.batch.input.probe import reading
from scoretrail import digest
from scoretrail.errors import DataError
from scoretrail.storage import filesystem, join

if TYPE_CHECKING:
    from scoretrail.storage import Storage

MARKER: Final = "_scoretrail_build.json"
"""Lies beside a partition's files; readers of Parquet folders pass over names that begin with ``_``."""


@dataclass(frozen=True)
class BuiltFile:
    """One file of a partition."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """What one partition was made of and what it holds; the content of ``MARKER``."""

    slice: str
    inputs_sha256: str
    """Of everything that decides the content: equal inputs need not be joined again."""
    inputs: Mapping[str, Any]
    build: str
    """The run that made it: ``_scoretrail/builds/<build>.json`` lists the files behind the digests in ``inputs``."""
    rows: int
    found: Mapping[str, int]
    """Stored set -> records that had a value."""
    files: tuple[BuiltFile, ...]

    def to_bytes(self) -> bytes:
        """Return the manifest as canonical JSON."""
        return digest.canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest that :meth:`to_bytes` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            values = json.loads(data)
            return cls(**{**values, "files": tuple(BuiltFile(**file) for file in values["files"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{MARKER} is not what a build writes", got=str(error)[:300], fix="remove the partition and build again"
            ) from error


def current(output: Storage, slice_: str, inputs_sha256: str) -> Manifest | None:
    """Return the manifest of a partition that was made of these inputs and is as it was made; else None.

    Raises:
        DataError: the partition's manifest is none.
        StorageError: the storage did not answer as it should.
    """
    data = output.get_or_none(join(slice_, MARKER))
    if data is None:
        return None
    manifest = Manifest.from_bytes(data)
    if manifest.inputs_sha256 != inputs_sha256:
        return None
    filesystem_, base = filesystem(output.uri, output.options)
    for file in manifest.files:
        path = join(base, slice_, file.name)
        if filesystem_.get_file_info(path).type != fs.FileType.File:
            return None
        with filesystem_.open_input_stream(path) as opened:
            if digest.of_stream(opened)[0] != file.sha256:
                return None
    return manifest


def written_files(output: Storage, folder: str, stored: Sequence[str]) -> tuple[list[BuiltFile], dict[str, int]]:
    """Return the files that a join wrote into a folder, under the names they will have, and the values in them.

    Args:
        output: the output root.
        folder: below it.
        stored: columns whose values are counted, one for each stored set.

    Raises:
        InputError: a file cannot be read.
    """
    filesystem_, base = filesystem(output.uri, output.options)
    found: list[BuiltFile] = []
    values = dict.fromkeys(stored, 0)
    for path in _parquet_in(filesystem_, join(base, folder)):
        with reading(path), filesystem_.open_input_file(path) as opened:
            sha256, _ = digest.of_stream(opened)
            opened.seek(0)
            table = pq.read_table(opened, columns=list(stored), partitioning=None)
        for name in stored:
            values[name] += table.num_rows - table[name].null_count
        found.append(BuiltFile(f"part-{len(found):05d}-{sha256[:16]}.parquet", sha256, table.num_rows))
    return found, values


def publish(output: Storage, folder: str, manifest: Manifest) -> bool:
    """Put a partition in its place, and return whether a file of it changed.

    1. Without its manifest the partition counts as unfinished: a build that dies from here on is done again.
    2. What no longer belongs to it goes: a reader may miss rows for a moment, it never sees them twice.
    3. The new files come. A file's name holds its digest, so content that is there already stays untouched.
    4. The manifest says that it is whole.

    Args:
        output: the output root.
        folder: where the join wrote the partition's files, below the root.
        manifest: what the partition will be.

    Raises:
        StorageError: the storage did not answer as it should.
    """
    filesystem_, base = filesystem(output.uri, output.options)
    target = join(base, manifest.slice) if manifest.slice else base
    filesystem_.create_dir(target, recursive=True)
    names = {file.name for file in manifest.files}
    there = {posixpath.basename(path): path for path in _parquet_in(filesystem_, target)}
    changed = set(there) != names
    if changed:
        output.delete([join(manifest.slice, MARKER)])  # Step 1.
    for name in there.keys() - names:  # Step 2.
        filesystem_.delete_file(there[name])
    for path, file in zip(_parquet_in(filesystem_, join(base, folder)), manifest.files, strict=True):  # Step 3.
        if file.name not in there:
            filesystem_.move(path, join(target, file.name))
    output.put(join(manifest.slice, MARKER), manifest.to_bytes())  # Step 4.
    return changed


def _parquet_in(filesystem_: fs.FileSystem, folder: str) -> list[str]:
    found = filesystem_.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(info.path for info in found if info.is_file and info.path.endswith(".parquet"))
