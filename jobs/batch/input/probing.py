"""Looks at the bytes of every input file that planning has not seen, and remembers what it saw."""

from __future__ import annotations

import contextlib
import posixpath
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.input.probe import FileProbe, probe_file
from scoretrail import digest
from scoretrail.errors import Disposition, ScoretrailError
from scoretrail.storage import Storage, filesystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.batch.input.listing import InputFile, InputRoot
    from jobs.batch.spark.engine import SparkEngine
    from jobs.progress import Progress

_SPLIT_FILES: Final = 500
"""Files that one Spark task hashes."""
_THREAD_FILES: Final = 64
"""Files that one thread hashes at a time, at most."""
_COLUMNS: Final = ("path", "size_bytes", "mtime_ns", "probe")


class ProbeCache:
    """What was seen of files before, by path, size and time of change.

    Losing it, or finding it wrong, costs time: scoring hashes what it reads again.
    """

    def __init__(self, storage: Storage, root: InputRoot, split_bytes: int) -> None:
        """Load what is remembered of a root.

        Args:
            storage: the table's trail folder.
            root: the input.
            split_bytes: ranges depend on it, so it is part of the cache's name.
        """
        self._storage = storage
        self._key = f"cache/{digest.of_json([root.uri, split_bytes])[:12]}.parquet"
        data = storage.get_or_none(self._key)
        self._seen: dict[tuple[str, int, int], str] = {}
        if data is not None:
            with contextlib.suppress(pa.ArrowException, OSError, KeyError):  # a damaged cache is no cache
                columns = pq.read_table(pa.BufferReader(data)).to_pydict()
                self._seen = {
                    (path, size, mtime): probe
                    for path, size, mtime, probe in zip(*(columns[name] for name in _COLUMNS), strict=True)
                }

    def get(self, file: InputFile) -> FileProbe | None:
        """Return what was seen of exactly this file, or None."""
        text = self._seen.get((file.path, file.size_bytes, file.mtime_ns))
        return FileProbe.from_text(text) if text is not None else None

    def forget(self) -> None:
        """Remember nothing of this root: a file was not what it was taken for."""
        self._seen = {}
        self._storage.delete([self._key])

    def remember(self, seen: Sequence[tuple[InputFile, FileProbe]]) -> None:
        """Add what was seen, and forget older versions of the same files."""
        if not seen:
            return
        fresh = {file.path for file, _ in seen}
        kept = {key: text for key, text in self._seen.items() if key[0] not in fresh}
        kept |= {(file.path, file.size_bytes, file.mtime_ns): probe.to_text() for file, probe in seen}
        self._seen = kept
        rows = [(*key, text) for key, text in sorted(kept.items())]
        table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self._storage.put(self._key, sink.getvalue().to_pybytes())


def probe_all(
    root: InputRoot,
    files: Sequence[InputFile],
    cache: ProbeCache | None,
    split_bytes: int,
    options: Mapping[str, str],
    engine: SparkEngine,
    progress: Progress,
) -> list[tuple[InputFile, FileProbe]]:
    """Return what is known of every file, in the order given.

    Args:
        root: the input.
        files: what to look at.
        cache: what was seen before; None looks at everything again (``--rehash``).
        split_bytes: see :func:`jobs.batch.input.probe.probe_file`.
        options: storage settings.
        engine: hashes on its executors, unless it is local: then threads of this process do it without a session.
        progress: is told of files.

    Raises:
        InputError: a file is not there or not readable.
    """
    known = {file.path: cache.get(file) if cache else None for file in files}
    todo = [file for file in files if known[file.path] is None]
    if todo:
        progress.start(None, len(todo), "hashing files")
        try:
            shared = (root.uri, dict(options), split_bytes)
            fresh = (
                _in_threads(todo, shared, progress) if engine.is_local else _on_spark(todo, shared, engine, progress)
            )
        finally:
            progress.stop()
        by_path = {file.path: file for file in todo}
        known |= fresh
        if cache:
            cache.remember([(by_path[path], probe) for path, probe in fresh.items()])
    return [(file, probe) for file in files if (probe := known[file.path]) is not None]


def _in_threads(todo: Sequence[InputFile], shared: tuple[Any, ...], progress: Progress) -> dict[str, FileProbe]:
    """Hash in threads: hashing and reading release the interpreter's lock."""
    uri, options, split_bytes = shared
    place, base = filesystem(uri, options)
    threads = cpu_count() or 1
    # Several files at a time: for small ones, handing each over alone costs as much as looking at it.
    size = max(1, min(_THREAD_FILES, len(todo) // (4 * threads)))
    portions = [todo[at : at + size] for at in range(0, len(todo), size)]

    def probe_portion(portion: Sequence[InputFile]) -> list[tuple[str, FileProbe]]:
        return [(file.path, probe_file(place, posixpath.join(base, file.path), split_bytes)) for file in portion]

    found: dict[str, FileProbe] = {}
    with ThreadPoolExecutor(threads) as pool:
        for probes in pool.map(probe_portion, portions):
            found.update(probes)
            progress.update(0, len(found))
    return found


def _on_spark(
    todo: Sequence[InputFile], shared: tuple[Any, ...], engine: SparkEngine, progress: Progress
) -> dict[str, FileProbe]:
    paths = [file.path for file in sorted(todo, key=lambda file: -file.size_bytes)]
    tasks = max(engine.parallelism() * 4, len(paths) // _SPLIT_FILES)
    splits = [paths[i::tasks] for i in range(min(tasks, len(paths)))]
    return dict(engine.run(splits, probe_paths, shared, lambda _: 0, progress))


def probe_paths(paths: Iterator[str], shared: tuple[Any, ...]) -> Iterator[tuple[str, FileProbe] | ScoretrailError]:
    """Yield each path with what was seen of the file; runs in Spark's Python workers.

    Raises:
        ScoretrailError: one that a retry may mend.
    """
    uri, options, split_bytes = shared
    place, base = filesystem(uri, options)
    for path in paths:
        try:
            yield path, probe_file(place, posixpath.join(base, path), split_bytes)
        except ScoretrailError as error:
            if error.disposition is Disposition.RETRY:
                raise
            yield error
            return
