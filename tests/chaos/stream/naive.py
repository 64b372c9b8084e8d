"""Loops without the guards, for the control: a producer without transactions, and offsets committed on their own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from tests.chaos.stream.order import Action, Order


def work_naively(plan: dict[str, Any]) -> int:
    """Consume, transform, produce, until the process is killed.

    Args:
        plan: ``naive`` is ``produce first``, which repeats after a kill, or ``commit first``, which loses.
    """
    settings = plan["settings"]
    bootstrap, topic = settings["kafka.bootstrap"][0], settings["stream.input"][0]
    order = Order(Path(plan["order"]))
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=settings["stream.group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        group_instance_id="naive",  # so that its successor need not wait for a session
        session_timeout_ms=6000,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    commits_first = plan["naive"] == "commit first"
    while True:
        found = consumer.poll(timeout_ms=100, max_records=100)
        records = [record for some in found.values() for record in some]
        if not records:
            continue
        if commits_first:
            consumer.commit()
        else:
            produce(producer, settings["stream.predictions"], records)
        if order.take("between") is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if commits_first:
            produce(producer, settings["stream.predictions"], records)
        else:
            consumer.commit()
        order.take("committed")


def produce(producer: KafkaProducer, topic: str, records: list[Any]) -> None:
    for record in records:
        trail = {
            "bundle_sha256": "",
            "event_sha256": hashlib.sha256(record.value).hexdigest(),
            "outcome": 0,
            "source": {"partition": record.partition, "offset": record.offset},
        }
        producer.send(topic, key=record.key, value=json.dumps({"trail": trail}).encode())
    producer.flush()
