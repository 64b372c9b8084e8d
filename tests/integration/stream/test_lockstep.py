"""Batch and stream score the same: real flights joined by Spark, replayed in lockstep on a real broker and store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from examples.flights import agreement
from examples.flights.agreement import Outcome
from examples.flights.channel import Channel
from examples.flights.outcome import OutcomeReader
from examples.flights.prepare import prepare
from examples.flights.register import LIVE_NAME, Provenance, register_live
from examples.flights.replay import Replay
from examples.flights.stored import SETS, StoredFlights, prepare_stored
from examples.flights.train import train_live
from examples.flights.worker import WorkerProcess
from jobs.batch.spark.engine import SparkEngine
from jobs.features.build import BuildRequest, build
from jobs.features.replay import Step, lockstep
from jobs.features.table import ENTITY, open_tables
from jobs.features.values import read_table
from jobs.progress import SilentProgress
from jobs.stream.audit.reproduction import reproduce_prediction
from scoretrail import digest
from scoretrail.clock import SystemClock
from scoretrail.config import BudgetSettings, SparkSettings
from scoretrail.errors import DifferenceError, ServiceError
from scoretrail.model.bundle import Bundle, open_bundle
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from scoretrail.table import OutputTable
from tests.factory.flights import source_folder
from tests.factory.live_flights import LIVE_CODE, LIVE_VIEW, built_by_hand, read_files
from tests.factory.registered import QUICK
from tests.factory.services import Kafka, StartService
from tests.factory.workshop import Workshop

MODEL = f"models:/{LIVE_NAME}@champion"
#: Enough to train on, and the days that are replayed.
DAYS = {(month, day) for month in range(1, 12) for day in (9, 10)} | {(12, 2), (12, 3), (12, 4)}
DAY = "ds=2013-12-03"
LATE_SET, LATE_ENTITY = "origin_delay", "EWR"


@dataclass(frozen=True)
class Batch:
    """December joined by Spark and scored by a batch run."""

    flights: StoredFlights
    registry: Path
    bundle: Bundle
    outcomes: dict[str, Outcome]

    def steps(self, records: Path) -> list[Step]:
        """Return the replay of the records below a folder."""
        choices = [f"{name}={self.flights.table(name)}" for name in SETS]
        tables = {one.stored.name: read_table(one, {}) for one in open_tables(LIVE_VIEW, choices, {}, SilentProgress())}
        return list(lockstep(tables, read_files(records), LIVE_VIEW.event_time))


@pytest.fixture(scope="session")
def engine() -> Iterator[SparkEngine]:
    engine = SparkEngine(SparkSettings(master="local[2]"), "tests")
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def batch(engine: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = tmp_path_factory.mktemp("lockstep")
    source = source_folder(folder / "source", DAYS)
    flights = prepare_stored(folder / "stored", source=source)
    prepared = prepare(folder / "data", source=source / "flights.csv.zip")
    training = built_by_hand(flights, flights.training, folder / "training")
    registry = Registry(Storage(str(folder / "registry")), SystemClock())
    register_live(
        registry,
        train_live(prepared, training, LIVE_CODE),
        clock=SystemClock(),
        budget=BudgetSettings(),
        engines=QUICK,
        origin=Provenance(None, None),
    )
    shop = Workshop(folder / "shop", folder / "registry", engine)
    request = BuildRequest(
        view=LIVE_VIEW,
        features_sha256=digest.of_bytes(LIVE_CODE),
        records=str(flights.december),
        stored=tuple(f"{name}={flights.table(name)}" for name in SETS),
        output=str(shop.input),
    )
    build(request, {}, engine, SilentProgress())
    shop.job(MODEL).score()
    scored = OutputTable(shop.output).to_pyarrow_dataset().to_table(columns=["flight_id", "score"])
    bundle = open_bundle(registry.resolve(MODEL).files)
    built = sorted(shop.input.glob("ds=*/*.parquet"))
    return Batch(flights, folder / "registry", bundle, agreement.of_table(bundle, built, scored))


def replayed(
    batch: Batch, steps: Sequence[Step], kafka: Kafka, start_valkey: StartService, folder: Path
) -> dict[str, Outcome]:
    """Return what a worker scored of events in these steps, on topics and a store of their own."""
    channel = Channel(
        bootstrap=kafka.bootstrap,
        online=f"redis://{start_valkey().address}/0",
        group=f"g-{uuid.uuid4().hex[:8]}",
        input=kafka.topic(2),
        predictions=kafka.topic(2),
        dead_letters=kafka.topic(),
    )
    with (
        WorkerProcess(channel, MODEL, folder, {"registry.uri": str(batch.registry)}) as worker,
        Replay(channel, LIVE_VIEW, worker.check) as replay,
        OutcomeReader(channel) as reader,
    ):
        for step in steps:
            replay.play(step)
        reader.await_all(sum(step.events.num_rows for step in steps))
    assert reader.dead_letters == 0
    assert {one.place for one in reader.predictions} == set(replay.sent_at)
    for one in reader.predictions[::100]:
        assert reproduce_prediction(one.value, batch.bundle) == []
    return agreement.of_predictions(one.document for one in reader.predictions)


@pytest.mark.timeout(600)
def test_every_event_has_the_vector_and_the_score_that_batch_gave_it(
    batch: Batch, kafka: Kafka, start_valkey: StartService, tmp_path: Path
) -> None:
    steps = batch.steps(batch.flights.december)
    assert len(steps) > 60
    stream = replayed(batch, steps, kafka, start_valkey, tmp_path)
    found = agreement.compare(batch.outcomes, stream)
    assert found.different == ()
    assert found.same == read_files(batch.flights.december).num_rows > 2500


@pytest.mark.timeout(600)
def test_a_value_that_is_loaded_a_step_late_is_found(
    batch: Batch, kafka: Kafka, start_valkey: StartService, tmp_path: Path
) -> None:
    """The negative control of the comparison: one value of hundreds comes after the events that should have seen it."""
    steps = batch.steps(batch.flights.december / DAY)
    spoilt, concerned = one_value_late(steps)
    expected = {key: batch.outcomes[key] for step in steps for key in step.events["flight_id"].to_pylist()}
    found = agreement.compare(expected, replayed(batch, spoilt, kafka, start_valkey, tmp_path))
    assert found.different == found.other_vector, "a score differs only where the vector does"
    assert set(found.different) == concerned
    assert found.same == len(expected) - len(concerned)
    with pytest.raises(DifferenceError, match="did not score the same"):
        found.refuse_difference()


def one_value_late(steps: Sequence[Step]) -> tuple[list[Step], set[str]]:
    """Return steps of which one value moved to the next one, and the events that miss it."""
    for at in range(len(steps) // 2, len(steps) - 1):
        values, events = steps[at].values[LATE_SET], steps[at].events
        is_late = pc.equal(values[ENTITY], LATE_ENTITY)
        concerned = events.filter(pc.equal(events["origin"], LATE_ENTITY))["flight_id"].to_pylist()
        if pc.any(is_late).as_py() and concerned:
            kept = replace(steps[at], values={**steps[at].values, LATE_SET: values.filter(pc.invert(is_late))})
            later = steps[at + 1]
            moved = pa.concat_tables([later.values[LATE_SET], values.filter(is_late)])
            caught_up = replace(later, values={**later.values, LATE_SET: moved})
            return [*steps[:at], kept, caught_up, *steps[at + 2 :]], set(concerned)
    raise AssertionError("no step has both")


@pytest.mark.timeout(300)
def test_a_worker_that_ends_is_told_with_its_last_words(batch: Batch, kafka: Kafka, tmp_path: Path) -> None:
    topic = kafka.topic()
    channel = Channel(
        bootstrap=kafka.bootstrap,
        online="redis://127.0.0.1:1/0",
        group=f"g-{uuid.uuid4().hex[:8]}",
        input=topic,
        predictions="nowhere",
        dead_letters=topic,
    )
    worker = WorkerProcess(channel, MODEL, tmp_path, {"registry.uri": str(batch.registry)})
    with pytest.raises(ServiceError, match="nowhere") as caught, worker:
        pass
    assert caught.value.where == str(tmp_path / "worker.log")
    with pytest.raises(ServiceError, match="the worker ended"):
        worker.check()
