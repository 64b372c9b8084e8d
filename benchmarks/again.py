"""The second run over an unchanged input, as a user starts it: a whole process, from the shell's prompt to the next."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import ours
from benchmarks.figure import Figure, at_most
from benchmarks.material import model_uri
from benchmarks.sitting import Sitting

_OVER_HASHING_S: Final = 3
_CACHED_S: Final = 5
_CHANGED_FILES: Final = 100


def second_run(sitting: Sitting) -> None:
    """Measure a run that has nothing to do, and one that has one file of a hundred to do."""
    found = measure(sitting.place, sitting.source(), sitting.pairs, sitting.tell)
    sitting.raw["second run"] = vars(found)
    over = median(took - of for took, of in zip(found.rehashing, found.hashing, strict=True))
    text = f"{over:.2f} s ({median(found.rehashing):.2f} − {median(found.hashing):.2f} s)"
    sitting.figures.append(at_most("second run, all hashed again − hashing alone", over, text, _OVER_HASHING_S, " s"))
    cached = median(found.cached)
    text = f"{cached:.2f} s ({min(found.cached):.2f}–{max(found.cached):.2f})"
    sitting.figures.append(at_most("second run, with cached digests", cached, text, _CACHED_S, " s"))
    outcome = one_changed(sitting.place, sitting.source(sitting.rows // 8, files=_CHANGED_FILES), sitting.tell)
    reached = (outcome["files_scored"], outcome["files_removed"], outcome["files_skipped"]) == (
        1,
        1,
        _CHANGED_FILES - 1,
    )
    text = f"{outcome['files_scored']} scored, {outcome['files_skipped']} skipped"
    sitting.figures.append(Figure("one changed file among 100", text, "1 scored, one commit", reached))


@dataclass(frozen=True)
class Again:
    """Seconds of each round."""

    hashing: list[float]
    """Hashing the input and nothing else, in as many processes as there are cores."""
    rehashing: list[float]
    """``--rehash``: the digests of an earlier run are not believed."""
    cached: list[float]
    """The digests of an earlier run are believed where size and time are as they were."""


def measure(place: ours.Place, source: Path, rounds: int, tell: Callable[[str], None]) -> Again:
    """Return what it costs to find that there is nothing to do.

    Raises:
        RuntimeError: something was scored in a run that had nothing to score.
    """
    output = place.fresh("again")
    _run(place, source, output, expected="published")
    found = Again([], [], [])
    for number in range(rounds):
        found.hashing.append(hash_all(source, place.cores))
        found.rehashing.append(_run(place, source, output, "--rehash", expected="unchanged"))
        found.cached.append(_run(place, source, output, expected="unchanged"))
        tell(
            f"second run, round {number + 1} of {rounds}: hashing {found.hashing[-1]:.2f} s, "
            f"with --rehash {found.rehashing[-1]:.2f} s, with cached digests {found.cached[-1]:.2f} s"
        )
    return found


def one_changed(place: ours.Place, source: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return what a run does after one of the files changed; the folder is made for it, of hard links."""
    folder = place.fresh("changed-input")
    folder.mkdir(parents=True)
    files = sorted(source.glob("*.parquet"))
    for file in files:
        (folder / file.name).hardlink_to(file)
    output = place.fresh("changed")
    _run(place, folder, output, expected="published")
    first = folder / files[0].name
    first.unlink()
    first.hardlink_to(files[-1])
    outcome = _outcome(place, folder, output)
    tell(f"one of {len(files)} files changed: {outcome['files_scored']} scored, {outcome['files_removed']} replaced")
    return outcome


def hash_all(source: Path, processes: int) -> float:
    """Return the seconds that hashing every file takes, processes already there."""
    files = sorted(source.glob("*.parquet"))
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_hash, files[:processes]))
        began = time.perf_counter()
        list(pool.map(_hash, files))
        return time.perf_counter() - began


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(place: ours.Place, source: Path, output: Path, *options: str, expected: str) -> float:
    began = time.perf_counter()
    outcome = _outcome(place, source, output, *options)
    took = time.perf_counter() - began
    if outcome["status"] != expected:
        msg = f"the run was {outcome['status']}, not {expected}"
        raise RuntimeError(msg)
    return took


def _outcome(place: ours.Place, source: Path, output: Path, *options: str) -> dict[str, Any]:
    command = [
        *(str(Path(sys.executable).with_name("scoretrail")), "batch", "score", "--model", model_uri("linear")),
        *("--input", str(source), "--output", str(output), "--role", "champion", "--json", *options),
        *("--master", f"local[{place.cores}]", "--set", f"registry.uri={place.registry}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place.folder)
    if done.returncode:
        msg = f"the run failed:\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
