"""A broker whose workers reach it through a proxy, a store, a registry, and how long a run is."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.services.port import free_port
from jobs.services.service import Service
from scoretrail.model.registry import Registry
from tests.chaos.stream import windy
from tests.chaos.stream.arena import Arena
from tests.factory.proxy import Proxy
from tests.factory.services import StartService

PREFIX = "SCORETRAIL_TEST_CHAOS_"
"""Of the environment variables that make a run longer; ``make chaos`` sets them."""


@dataclass(frozen=True)
class Length:
    """How much is done in one run."""

    kills: int
    events: int
    rate: float
    """Events a second."""
    seed: int
    limit_s: float = math.inf
    """After this no further fault is begun."""
    report: Path | None = None
    """Where the report is written."""


def length(kills: int, events: int, rate: float) -> Length:
    """Return what the environment says, or these."""
    told = {
        name: os.environ.get(f"{PREFIX}{name}") for name in ("KILLS", "EVENTS", "RATE", "SEED", "SECONDS", "REPORT")
    }
    return Length(
        int(told["KILLS"] or kills),
        int(told["EVENTS"] or events),
        float(told["RATE"] or rate),
        int(told["SEED"] or 1),
        float(told["SECONDS"] or math.inf),
        Path(told["REPORT"]) if told["REPORT"] else None,
    )


@pytest.fixture(autouse=True)
def _quiet_client() -> Iterator[None]:
    """Silence Kafka's client: what it says of a broker that is killed on purpose would hide why a test fails."""
    client = logging.getLogger("kafka")
    before = client.level
    client.setLevel(logging.CRITICAL + 1)
    yield
    client.setLevel(before)


@pytest.fixture(scope="module")
def windy_registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return windy.make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def proxied(start_kafka: StartService) -> Iterator[tuple[Service, Proxy]]:
    """A broker of its own, and the proxy that it names to whoever comes through it."""
    port = free_port()
    with Proxy() as proxy:
        advertised = f"PLAIN://127.0.0.1:{port},CHAOS://127.0.0.1:{proxy.port}"
        broker = start_kafka(
            port=port,
            secure={"CHAOS": "PLAINTEXT"},
            properties={"advertised.listeners": advertised},
        )
        proxy.upstream_port = int(broker.addresses["CHAOS"].rpartition(":")[2])
        yield broker, proxy
        broker.stop()


@pytest.fixture(scope="module")
def store(start_valkey: StartService) -> Service:
    return start_valkey()


@pytest.fixture
def arena(proxied: tuple[Service, Proxy], store: Service, windy_registry: Registry, tmp_path: Path) -> Iterator[Arena]:
    with Arena(*proxied, store, windy_registry, tmp_path) as found:
        yield found
