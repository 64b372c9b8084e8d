"""A topic of predictions in memory, and an archive of it in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from jobs.archive.archiver import Archiver, ArchiverPolicy
from jobs.archive.counting import WindowCounter
from jobs.archive.row import RowMaker
from jobs.archive.store import ArchiveStore, StorePolicy, TopicIdentity
from jobs.stream.port import Partition
from jobs.stream.record import Message, Record
from scoretrail.clock import SystemClock
from scoretrail.table import OutputTable
from tests.factory.registered import open_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import Registry

TOPIC = "predictions"
IDENTITY = TopicIdentity(cluster="c1", topic=TOPIC, id="topic-id")


@dataclass
class Topic:
    """The partitions of a topic; several sources may read it."""

    logs: dict[Partition, list[Record]] = field(default_factory=dict)

    def write(self, messages: Sequence[Message], partitions: int = 2) -> None:
        for message in messages:
            number = sum(map(len, self.logs.values())) % partitions
            log = self.logs.setdefault(Partition(TOPIC, number), [])
            log.append(Record(TOPIC, number, len(log), 1_000, message.key, message.value, message.headers))


class TopicSource:
    """Reads a topic in memory."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.at: dict[Partition, int] = {}

    @property
    def partitions(self) -> Sequence[Partition]:
        return sorted(self.topic.logs)

    def first(self) -> Mapping[Partition, int]:
        return dict.fromkeys(self.topic.logs, 0)

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self.at |= offsets

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        found = [record for partition, at in sorted(self.at.items()) for record in self.topic.logs[partition][at:]]
        self.at |= {partition: len(self.topic.logs[partition]) for partition in self.at}
        return [msgspec.structs.replace(record) for record in found]


@dataclass
class Archive:
    """An archive in a folder."""

    folder: Path
    bundle: Bundle
    registry: Registry | None = None
    """Finds the bundle for counting; of one that is in no registry nothing is counted."""
    topic: Topic = field(default_factory=Topic)

    @property
    def uri(self) -> str:
        return str(self.folder / "archive")

    def table(self) -> OutputTable:
        return OutputTable(self.uri)

    def store(self) -> ArchiveStore:
        policy = StorePolicy(row_group_rows=1000, target_bytes=2**20, retention_days=400)
        counter = WindowCounter(self.registry or open_registry(self.folder / "no-registry"), {})
        return ArchiveStore(self.table(), RowMaker(self.bundle.manifest), IDENTITY, policy, counter)

    def archiver(self, on_step: Callable[[str], Any] = lambda _: None, **policy: Any) -> Archiver:
        values = {"commit_rows": 1, "commit_s": 3600, "idle_s": 0, **policy}
        maker = RowMaker(self.bundle.manifest)
        source = TopicSource(self.topic)
        return Archiver(source, self.store(), maker, ArchiverPolicy(**values), SystemClock(), on_step)

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table().to_pyarrow_dataset().to_table().to_pylist()
        return sorted(found, key=lambda row: (row["prediction_partition"], row["prediction_offset"]))

    def places(self) -> list[tuple[int, int]]:
        return [(row["prediction_partition"], row["prediction_offset"]) for row in self.rows()]

    def all_places(self) -> list[tuple[int, int]]:
        return sorted((one.partition, one.offset) for log in self.topic.logs.values() for one in log)
