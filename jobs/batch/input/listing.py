"""Input files under a root: their slices and their partition values."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from scoretrail.errors import InputError, UsageError
from scoretrail.storage import filesystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
"""How a folder of Hive's spells a partition value that is null."""
ALL: Final = ""
"""The slice of a root that has no partitions."""


@dataclass(frozen=True)
class InputFile:
    """One Parquet file, by what a listing says of it."""

    path: str
    """Relative to the root, partition folders included."""
    size_bytes: int
    mtime_ns: int
    slice: str
    """The leaf partition, such as ``ds=2013-12-02/origin=JFK``; empty where the root has none."""
    partition: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, info: fs.FileInfo, path: str) -> InputFile:
        """Return the file that a listing found at ``path`` below the root."""
        folders = [part for part in path.split("/")[:-1] if "=" in part]
        return cls(path, info.size, info.mtime_ns or 0, "/".join(folders), partition_values(path))


def partition_values(path: str) -> tuple[tuple[str, str], ...]:
    """Return the keys and values that a path's folders state, outermost first.

    >>> partition_values("ds=2013-12-02/origin=JFK/a.parquet")
    (('ds', '2013-12-02'), ('origin', 'JFK'))
    """
    folders = [part for part in path.split("/")[:-1] if "=" in part]
    return tuple((part.partition("=")[0], unquote(part.partition("=")[2])) for part in folders)


def with_partitions(schema: pa.Schema, partition: Sequence[tuple[str, str]]) -> pa.Schema:
    """Return a file's schema and, as text, the partition keys that its folders state and its columns do not.

    >>> with_partitions(pa.schema({"a": pa.int8()}), [("ds", "2013-12-02")]).names
    ['a', 'ds']
    """
    for key, _ in partition:
        if key not in schema.names:
            schema = schema.append(pa.field(key, pa.string()))
    return schema


@dataclass(frozen=True)
class InputRoot:
    """A folder of Parquet files, and the name under which its scopes are known."""

    uri: str
    """Normalised."""
    name: str
    """``--dataset NAME``, or the URI."""


def input_root(uri: str, dataset: str | None = None) -> InputRoot:
    """Return a root.

    Args:
        uri: as :func:`scoretrail.storage.normalise_uri` returns it.
        dataset: a name that stays when the data moves.

    Raises:
        UsageError: the root's own path holds a partition, so that part of the slice would be hidden from the scope.
    """
    inside = [part for part in uri.split("/") if "=" in part]
    if inside and "://" not in inside[0]:
        raise UsageError(
            "the input root lies inside a partition",
            where=uri,
            got=inside[0],
            fix=f"give the folder above it as --input, and --slice {inside[0]}",
        )
    return InputRoot(uri, dataset or uri)


def list_files(root: InputRoot, slices: Sequence[str], options: Mapping[str, str]) -> list[InputFile]:
    """Return the Parquet files below a root, sorted by path.

    Args:
        root: the input.
        slices: ``key=value`` partitions; only leaves below all of their keys are listed. Empty lists everything.
        options: storage settings.

    Raises:
        InputError: the root is not there, or its files lie at different depths of partitioning.
        UsageError: a slice is no ``key=value``.
    """
    wanted = _wanted(slices)
    filesystem_, base = filesystem(root.uri, options)
    selector = fs.FileSelector(base, recursive=True, allow_not_found=False)
    try:
        found = filesystem_.get_file_info(selector)
    except (FileNotFoundError, NotADirectoryError, OSError) as error:
        raise InputError("the input folder cannot be listed", where=root.uri, got=str(error)[:300]) from error
    files = [InputFile.of(info, posixpath.relpath(info.path, base)) for info in found if _is_data(info, base)]
    keys = {tuple(key for key, _ in file.partition) for file in files}
    if len(keys) > 1:
        raise InputError(
            "the input's files are partitioned in different ways",
            where=root.uri,
            got="; ".join("/".join(names) or "none" for names in sorted(keys)[:3]),
            fix="give a root whose files all lie at one depth",
        )
    chosen = [file for file in files if _inside(file, wanted)]
    return sorted(chosen, key=lambda file: file.path)


def slices_of(files: Sequence[InputFile]) -> list[str]:
    """Return the slices of files, sorted, each once."""
    return sorted({file.slice for file in files})


def matches(slice_: str, slices: Sequence[str]) -> bool:
    """Tell whether a slice, as its folders spell it, lies in what ``--slice`` selected.

    >>> matches("ds=2013-12-02/origin=JFK", ["origin=JFK"]), matches("ds=1", ["ds=2"]), matches("ds=1", [])
    (True, False, True)
    """
    values = dict(partition_values(f"{slice_}/"))
    return all(values.get(key) in choices for key, choices in _wanted(slices).items())


def _wanted(slices: Sequence[str]) -> dict[str, set[str]]:
    """Return key -> allowed values: several values of one key are alternatives, different keys must all match.

    A value may be given as it is or as its folder spells it.

    Raises:
        UsageError: a slice is no ``key=value``.
    """
    wanted: dict[str, set[str]] = {}
    for text in slices:
        for part in text.strip("/").split("/"):
            key, equals, value = part.partition("=")
            if not key or not equals:
                raise UsageError(f"{text!r} is no slice", expected="key=value, such as ds=2013-12-02")
            wanted.setdefault(key, set()).update((value, unquote(value)))
    return wanted


def _is_data(info: fs.FileInfo, base: str) -> bool:
    if not info.is_file or not info.path.endswith(".parquet"):
        return False
    relative = posixpath.relpath(info.path, base)
    return not any(part.startswith(("_", ".")) for part in relative.split("/"))


def _inside(file: InputFile, wanted: Mapping[str, set[str]]) -> bool:
    values = dict(file.partition)
    unknown = wanted.keys() - values.keys()
    if unknown:
        raise UsageError(
            f"the input is not partitioned by {min(unknown)!r}",
            where=file.path,
            got=", ".join(values) or "no partitions",
        )
    return all(values[key] in choices for key, choices in wanted.items())
