"""Our own code as one archive for executors: what the driver runs is what they run, whatever is installed there."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import scoretrail
from jobs.batch.spark.cluster import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from pyspark import SparkContext

_PACKAGES: Final = ("scoretrail", "jobs")
_IMPORTABLE: Final = (".zip", ".egg", ".jar")
"""Endings of the archives that Spark puts on an executor's path; a ``.whl`` it carries there and leaves unused."""


def ship(context: SparkContext) -> None:
    """Let the executors of a context import the driver's own packages; a second call does nothing.

    Packages that came with ``--py-files`` in a form that Spark imports are there already.

    Args:
        context: of any master; the workers of a local one share the driver's environment, and need nothing.
    """
    if is_local(str(context.master)):
        return
    name = f"scoretrail-{scoretrail.__version__}.zip"
    carried: list[str] = context._python_includes or []  # noqa: SLF001  (pyspark has no public name for it)
    source = _archive()
    if name in carried or (source is not None and source.name in carried):
        return
    folder = Path(tempfile.mkdtemp(prefix="scoretrail-"))
    # Executors that come late fetch it late: it stays as long as this process.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _pack(folder / name, source)
    context.addPyFile(str(folder / name))


def _archive() -> Path | None:
    """Return the archive that this process imports us from, or None where we lie in a folder."""
    return next((parent for parent in Path(scoretrail.__file__).parents if parent.is_file()), None)


def _pack(target: Path, source: Path | None) -> None:
    if source is not None:
        shutil.copyfile(source, target)
        return
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for name, data in files_of(package):
                archive.writestr(name, data)
        # The version is asked of the metadata.
        text = metadata.distribution("scoretrail").read_text("METADATA") or ""
        archive.writestr(f"scoretrail-{scoretrail.__version__}.dist-info/METADATA", text)


def files_of(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a package's own files, sorted, whether it lies in a folder or in an archive."""
    yield from _walk(resources.files(package), package)


def _walk(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            if item.name != "__pycache__":
                yield from _walk(item, f"{name}/{item.name}")
        else:
            yield f"{name}/{item.name}", item.read_bytes()
