"""The demo's second half: a model with stored features, the same days scored by batch and by stream, and compared."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from examples.flights import agreement
from examples.flights.channel import Channel
from examples.flights.outcome import OutcomeReader, Prediction, latency_text
from examples.flights.register import LIVE_NAME, provenance, register_live
from examples.flights.replay import Replay
from examples.flights.stage import HOME, Stage, scoring
from examples.flights.stored import SETS, StoredFlights, prepare_stored
from examples.flights.train import LIVE_VIEW_NAME, train_live
from examples.flights.worker import WorkerProcess
from jobs.archive.reporting import SpanReport
from jobs.archive.reproduce import reproduce
from jobs.archive.window_table import SUFFIX
from jobs.command.span import parse_span
from jobs.command.verdict import show_verdict
from jobs.features.build import BuildRequest, build
from jobs.features.replay import lockstep
from jobs.features.table import open_tables
from jobs.features.values import read_table
from jobs.progress import SilentProgress
from jobs.services import local
from jobs.services.jars import JarCache, default_cache
from jobs.services.topics import create_topics
from scoretrail import digest
from scoretrail.errors import DifferenceError, ServiceError
from scoretrail.feature.source import load_view
from scoretrail.model.bundle import Bundle, open_bundle
from scoretrail.model.registry import CHAMPION
from scoretrail.table import OutputTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.flights.prepare import PreparedFlights
    from jobs.features.replay import Step
    from jobs.progress import Progress
    from scoretrail.feature import FeatureView

CODE: Final = Path("features/flights_stored.py")
MODEL: Final = f"models:/{LIVE_NAME}@{CHAMPION}"
TABLE: Final = str(HOME / "scored_live")
ARCHIVE: Final = str(HOME / "predictions")
_FOLDER: Final = HOME / "stream"
_BUILT: Final = HOME / "built"
_WEEK: Final = tuple(f"ds=2013-12-{day:02d}" for day in range(2, 9))
"""Monday to Sunday."""
_DECEMBER: Final = tuple(f"ds=2013-12-{day:02d}" for day in range(1, 32))
_PARTITIONS: Final = 2
_SHORT_LIFE: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a broker that lives for a minute: what optimises a long life costs more than it brings."""


@dataclass(frozen=True)
class Streamed:
    """What came out of the stream."""

    events: int
    dead_letters: int
    predictions: Sequence[Prediction]


def run(stage: Stage, prepared: PreparedFlights, *, whole_month: bool) -> int:
    """Run the second half, and return how many events batch and stream scored alike.

    Args:
        stage: the demo so far.
        prepared: the data of the first half, for its labels.
        whole_month: replay December instead of a week of it.

    Raises:
        DifferenceError: batch and stream did not score the same.
        ScoretrailError: a step failed; the message says what to do.
    """
    days = _DECEMBER if whole_month else _WEEK
    stored = _build(stage, days)
    _train(stage, prepared)
    span = "December" if whole_month else "a week of December"
    slices = () if whole_month else days
    built = _BUILT / "december"
    stage.begin(f"Score {span} in batch, from the built records", scoring(MODEL, built, TABLE, *slices))
    stage.score(MODEL, built, TABLE, *slices)
    stage.engine.stop()
    bundle = open_bundle(stage.invocation.registry.resolve(MODEL).files)
    with contextlib.ExitStack() as running:
        channel = running.enter_context(_services(stage))
        worker = _worker(stage, channel)
        stage.begin(f"Start a worker, and replay {span} to it in lockstep with what became known", worker.command)
        running.enter_context(worker)
        streamed = _replay(stage, channel, worker, bundle.view, _steps(stage, stored, days, bundle.view))
        _verify(stage, channel)
        _archive(stage, channel)
    _drift(stage, days)
    same = _compare(stage, bundle, streamed, days)
    _reproduce(stage, max(streamed.predictions, key=lambda one: one.document["score"]), streamed.events)
    return same


def _build(stage: Stage, days: Sequence[str]) -> StoredFlights:
    words = ["scoretrail", "features", "build", "--view", f"{CODE}:{LIVE_VIEW_NAME}"]
    words += [word for name in SETS for word in ("--stored", f"{name}={HOME / 'stored' / 'tables' / name}")]
    words += ["--records", str(HOME / "stored" / "records" / "training"), "--output", str(_BUILT / "training")]
    stage.begin("Join flights with the weather, the plane and delays, as known at departure", shlex.join(words))
    stored = prepare_stored(HOME / "stored", stage.tell)
    _build_root(stage, stored, "training", (), stage.invocation.terminal.progress())
    _build_root(stage, stored, "december", days, SilentProgress())
    return stored


def _build_root(stage: Stage, stored: StoredFlights, name: str, slices: Sequence[str], progress: Progress) -> None:
    code = CODE.read_bytes()
    request = BuildRequest(
        view=load_view(code, LIVE_VIEW_NAME),
        features_sha256=digest.of_bytes(code),
        records=str(stored.root / "records" / name),
        stored=tuple(f"{one}={stored.table(one)}" for one in SETS),
        output=str(_BUILT / name),
        slices=tuple(slices),
    )
    done = build(request, stage.invocation.settings.storage.plain(), stage.engine, progress)
    rows = done.rows_built + done.rows_reused
    found = ", ".join(f"{one} {count / max(rows, 1):.1%}" for one, count in done.found.items())
    there = f", {done.rows_reused:,} of them there already" if done.rows_reused else ""
    stage.tell(f"{name}: {rows:,} records{there}, {done.seconds:.1f} s; with a value of {found}")


def _train(stage: Stage, prepared: PreparedFlights) -> None:
    stage.begin("Train a third model on them, and register it")
    invocation = stage.invocation
    register_live(
        invocation.registry,
        train_live(prepared, _BUILT / "training", CODE.read_bytes(), stage.tell),
        clock=invocation.clock,
        budget=invocation.settings.registry.budget,
        engines=invocation.settings.model,
        origin=provenance(Path.cwd()),
        progress=stage.tell,
    )


@contextlib.contextmanager
def _services(stage: Stage) -> Iterator[Channel]:
    """Run a broker and a store until the end of the context."""
    stage.begin("Start Kafka and Valkey on 127.0.0.1; they end with the demo", "scoretrail services up --topics")
    settings = stage.invocation.settings.services
    cache = JarCache(
        folder=Path(settings.cache) if settings.cache else default_cache(),
        ivy_settings=Path(settings.ivy_settings) if settings.ivy_settings else None,
    )
    for left in (_FOLDER, ARCHIVE, ARCHIVE + SUFFIX):
        shutil.rmtree(left, ignore_errors=True)
    kafka = local.kafka(_FOLDER / "kafka", cache=cache, java_options=_SHORT_LIFE, say=stage.tell)
    with local.valkey(_FOLDER / "valkey") as valkey, kafka:
        channel = Channel(
            bootstrap=kafka.address,
            online=f"redis://{valkey.address}/0",
            group="demo",
            input="flights",
            predictions="flight-delays",
            dead_letters="flights-refused",
        )
        create_topics([kafka.address], channel.topics(_PARTITIONS))
        stage.tell(f"Kafka at {kafka.address}, Valkey at {valkey.address}; topics {', '.join(channel.topics(1))}")
        yield channel
    shutil.rmtree(_FOLDER / "kafka" / "data", ignore_errors=True)


def _worker(stage: Stage, channel: Channel) -> WorkerProcess:
    settings = stage.invocation.settings
    return WorkerProcess(channel, MODEL, _FOLDER, {"registry.uri": settings.registry.uri})


def _steps(stage: Stage, stored: StoredFlights, days: Sequence[str], view: FeatureView) -> list[Step]:
    options = stage.invocation.settings.storage.plain()
    choices = [f"{name}={stored.table(name)}" for name in SETS]
    tables = open_tables(view, choices, options, SilentProgress())
    events = pa.concat_tables(
        pq.read_table(path, partitioning=None) for day in days for path in (stored.december / day).glob("*.parquet")
    )
    return list(lockstep({one.stored.name: read_table(one, options) for one in tables}, events, view.event_time))


def _replay(
    stage: Stage, channel: Channel, worker: WorkerProcess, view: FeatureView, steps: Sequence[Step]
) -> Streamed:
    events = sum(step.events.num_rows for step in steps)
    progress = stage.invocation.terminal.progress()
    with Replay(channel, view, worker.check) as replay, OutcomeReader(channel) as reader:
        progress.start(events, len(steps), "replaying")
        sent = told = 0
        for number, step in enumerate(steps, 1):
            replay.play(step)
            sent += step.events.num_rows
            progress.update(sent, number)
            day = _day(step)
            if number == len(steps) or _day(steps[number]) != day:
                reader.await_all(sent)
                latency = latency_text(reader.predictions[told:], replay.sent_at)
                told = len(reader.predictions)
                stage.tell(f"{day}: {sent:,} events sent, {told:,} scored, {reader.dead_letters:,} refused; {latency}")
        progress.stop()
        latency = latency_text(reader.predictions, replay.sent_at)
    stage.tell(f"{len(steps):,} steps; from sending to a read_committed reader {latency}")
    stage.tell(f"lag: at most {replay.max_lag:,} events, which is a step's; 0 at the end")
    return Streamed(events, reader.dead_letters, reader.predictions)


def _day(step: Step) -> str:
    return str(step.events["flight_id"][0].as_py())[: len("2013-12-02")]


def _compare(stage: Stage, bundle: Bundle, streamed: Streamed, days: Sequence[str]) -> int:
    stage.begin("Is it the same? Every event's vector and the bits of its score")
    built = [path for day in days for path in sorted((_BUILT / "december" / day).glob("*.parquet"))]
    published = OutputTable(TABLE).to_pyarrow_dataset().to_table(columns=["flight_id", "score"])
    batch = agreement.of_table(bundle, built, published)
    stream = agreement.of_predictions(one.document for one in streamed.predictions)
    found = agreement.compare(batch, stream)
    found.refuse_difference()
    if found.same != streamed.events:
        raise DifferenceError(
            "events were scored by neither",
            expected=f"{streamed.events:,} events",
            got=f"{found.same:,} scored, {streamed.dead_letters:,} refused",
        )
    stage.tell(f"{found.same:,} events scored by batch and by stream: same vectors, same score bits")
    return found.same


def _verify(stage: Stage, channel: Channel) -> None:
    """Hold what was published against the events.

    Raises:
        ServiceError: something differs.
    """
    words = ["stream", "verify", "--all", "--group", channel.group, "--input", channel.input, "--model", MODEL]
    words += ["--predictions", channel.predictions, "--dead-letters", channel.dead_letters]
    stage.begin("Hold every outcome against its event", shlex.join(["scoretrail", *words]))
    found = _command(stage, channel, words)
    stage.tell(
        f"{found['events']:,} events, {found['predictions']:,} predictions, {found['dead_letters']:,} dead letters: "
        "one outcome for each event, of its very bytes"
    )


def _archive(stage: Stage, channel: Channel) -> None:
    words = ["stream", "archive", "--once", "--table", ARCHIVE, "--model", MODEL, "--predictions", channel.predictions]
    stage.begin("Archive the predictions in a Delta table, each exactly once", shlex.join(["scoretrail", *words]))
    archived = _command(stage, channel, words)
    stage.tell(f"{archived['rows']:,} rows in {ARCHIVE}")


def _drift(stage: Stage, days: Sequence[str]) -> None:
    """Hold the windows that were counted while archiving against what the model was trained on."""
    first, last = (date.fromisoformat(day.removeprefix("ds=")) for day in (days[0], days[-1]))
    span = f"{first}..{last + timedelta(days=1)}"
    stage.begin(
        "The stream's windows, held against what the model was trained on",
        shlex.join(["scoretrail", "drift", "report", "--window", span, "--table", ARCHIVE]),
    )
    invocation = stage.invocation
    judged = SpanReport(ARCHIVE, invocation.registry, invocation.settings).judge(*parse_span(span), CHAMPION, None)
    show_verdict(invocation.terminal, f"{LIVE_NAME}, {span}", judged.verdict.to_json())


def _command(stage: Stage, channel: Channel, words: Sequence[str]) -> dict[str, Any]:
    """Run a command of ours, which is made for a process without Spark, and return its result.

    Raises:
        ServiceError: it failed.
    """
    place = ["--bootstrap", channel.bootstrap, "--set", f"registry.uri={stage.invocation.settings.registry.uri}"]
    command = [sys.executable, "-m", "jobs.cli", *words, *place, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServiceError(f"{' '.join(words[:2])} failed", got=done.stderr.strip()[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _reproduce(stage: Stage, prediction: Prediction, events: int) -> None:
    again = shlex.join(["scoretrail", "stream", "reproduce", "--table", ARCHIVE])
    stage.begin("One prediction's trail, and every score made again from the archive alone", again)
    document = prediction.document
    trail = document["trail"]
    stage.invocation.terminal.facts(
        "",
        {
            "entity_key": document["entity_key"],
            "event_time": document["event_time"],
            "score": f"{document['score']!r} ({document['score'].hex()})",
            "decision": document["decision"],
            **{
                name: one["outcome"] + (f", {one['age_s']:,} s old" if one["age_s"] is not None else "")
                for name, one in document["stored"].items()
            },
            "model": f"{trail['model']} {trail['version']}, {trail['role']}",
            **{name: trail[name] for name in ("bundle_sha256", "event_sha256", "features_sha256")},
            "source": json.dumps(trail["source"]),
        },
    )
    invocation = stage.invocation
    found = reproduce(OutputTable(ARCHIVE), invocation.registry, invocation.settings, SilentProgress())
    stage.tell(f"reproduced: {found.rows:,} rows, {found.equal:,} equal bit for bit, {found.different} different")
    if found.different or found.rows != events:
        raise DifferenceError(
            "the archive does not come out as it was published", where=ARCHIVE, expected=f"{events:,} equal rows"
        )
