"""A folder of made data: written once, all at once, and known again by what it was made of."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from scoretrail import digest
from scoretrail.digest import Json
from scoretrail.errors import UsageError

MARKER: Final = "prepared.json"

Progress = Callable[[str], None]


def make_once(
    target: Path, made_of: Mapping[str, Json], write: Callable[[Path], Iterable[Path]], progress: Progress
) -> None:
    """Make a folder, unless it is there already, made of the same and unchanged.

    The folder appears all at once, by a rename; one that is no longer what was made is replaced as a whole.

    Args:
        target: a folder of its own; made if it is not there.
        made_of: what decides the content: digests of the sources and the version of the code.
        write: writes every file below the folder it is given; yields each path once written.
        progress: called with one line of text for each thing done.

    Raises:
        UsageError: ``target`` is a folder of something else.
    """
    if _is_current(target, made_of):
        progress(f"data is there already: {target}")
        return
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as workshop:
        made = Path(workshop) / "made"
        files = {path.relative_to(made).as_posix(): digest.of_bytes(path.read_bytes()) for path in write(made)}
        (made / MARKER).write_text(json.dumps({**made_of, "files": files}, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            target.rename(Path(workshop) / "before")
        made.rename(target)
    progress(f"wrote {len(files)} Parquet files to {target}")


def _is_current(root: Path, made_of: Mapping[str, Json]) -> bool:
    marker = root / MARKER
    if not marker.is_file():
        return False
    content = json.loads(marker.read_text(encoding="utf-8"))
    files = content.pop("files", {})
    return content == made_of and all(
        (root / name).is_file() and digest.of_bytes((root / name).read_bytes()) == sha256
        for name, sha256 in files.items()
    )


def _refuse_foreign(target: Path) -> None:
    if target.exists() and not (target / MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            "the folder for the data holds something else",
            where=str(target),
            expected=f"a new or empty folder, or one with {MARKER}",
            fix="choose another folder, or remove this one",
        )
