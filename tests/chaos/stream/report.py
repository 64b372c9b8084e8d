"""What a run found, as JSON and as lines for a person."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.stream.arena import Arena
from tests.chaos.stream.comparison import Verdict
from tests.chaos.stream.crew import Crew
from tests.chaos.stream.ledger import Ledger
from tests.chaos.stream.schedule import BOUNCES, NETWORK, STALLS, STORE
from tests.chaos.stream.storm import Kill, Storm

#: Killed by a fault, told to end, gave up on its brokers or its slot: all of them are put back.
EXPECTED_CODES = {-9, 0, 75}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts and times of one run."""

    seed: int
    seconds: float
    events: int
    acknowledged: int
    unknown: int
    """Events whose producer was never told."""
    kills: int
    """Workers that ended by SIGKILL."""
    bounces: int
    stalls: int
    network: int
    store: int
    alias_moves: int
    markers_skipped: int
    """Transactions that the broker ended without telling every partition."""
    faults: dict[str, int]
    """By kind."""
    missed: dict[str, int]
    """Faults that nobody was there for."""
    workers_born: int
    exit_codes: dict[str, int]
    verdict: dict[str, Any]
    slowest_s: dict[str, float]
    """From a SIGKILL until outcomes of every input partition were visible again, by circumstance."""
    median_s: dict[str, float]
    measured: dict[str, int]

    def to_text(self) -> str:
        """Return it as indented JSON."""
        return json.dumps(asdict(self), indent=2)

    def append(self, path: Path) -> None:
        """Write it as one line of JSON, after those of other runs."""
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self)) + "\n")

    @property
    def unexpected_codes(self) -> set[str]:
        """How workers ended that should not have ended so."""
        return set(self.exit_codes) - {str(code) for code in EXPECTED_CODES}


def report_of(
    seed: int, seconds: float, verdict: Verdict, storm: Storm, crew: Crew, ledger: Ledger, arena: Arena
) -> Report:
    """Return the report of a run that ended."""
    done = storm.done
    felt = by_circumstance(storm.kills)
    return Report(
        seed=seed,
        seconds=round(seconds, 1),
        events=verdict.events,
        acknowledged=sum(1 for _ in ledger.acknowledged()),
        unknown=ledger.unknown,
        kills=storm.killed,
        bounces=sum(done[kind] for kind in BOUNCES),
        stalls=sum(done[kind] for kind in STALLS),
        network=sum(done[kind] for kind in NETWORK),
        store=sum(done[kind] for kind in STORE),
        alias_moves=arena.moves,
        markers_skipped=arena.markers_skipped(),
        faults={str(kind): number for kind, number in sorted(done.items())},
        missed={str(kind): number for kind, number in sorted(storm.missed.items())},
        workers_born=crew.born,
        exit_codes={str(code): number for code, number in sorted(crew.codes.items())},
        verdict=asdict(verdict),
        slowest_s={name: round(max(times), 2) for name, times in felt.items()},
        median_s={name: round(statistics.median(times), 2) for name, times in felt.items()},
        measured={name: len(times) for name, times in felt.items()},
    )


def by_circumstance(kills: Sequence[Kill]) -> dict[str, list[float]]:
    """Return how long kills were felt, by whether the slot was filled again and whether anything else was done."""
    found: dict[str, list[float]] = {}
    for kill in kills:
        if kill.felt_s is not None:
            slot = "restarted" if kill.is_restarted else "not restarted"
            found.setdefault(f"{slot}, {'undisturbed' if kill.is_undisturbed else 'amid others'}", []).append(
                kill.felt_s
            )
    return found
