"""The table is what is exported, and figures add up over bundles."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.stream.handling.tally import Tally
from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.operation.metrics import PREFIX, TABLE, Metrics
from jobs.stream.port import Partition


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return label values -> value of the samples of that very name."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == f"{PREFIX}{name}"
    }


def test_every_metric_of_the_table_is_exported_with_its_help() -> None:
    families = {one.name: one for one in text_string_to_metric_families(Metrics().text().decode())}
    for metric in TABLE:
        family = families[f"{PREFIX}{metric.name}".removesuffix("_total")]
        assert (family.documentation, family.type) == (metric.help, metric.kind)
    ours = {name for name in families if name.startswith(PREFIX) and not name.endswith("_created")}
    assert len(ours) == len(TABLE)


def test_the_process_tells_its_cpu_and_memory() -> None:
    text = Metrics().text()
    assert b"process_cpu_seconds_total" in text
    assert b"process_resident_memory_bytes" in text


def test_a_turn_is_counted() -> None:
    metrics = Metrics()
    turn = Turn(Outcome.COMMITTED, records=3, dead_letters=1, transactions=2, seconds={"poll": 0.5}, alias_no=4)
    turn.timestamps_ms = [900, 1_000]
    turn.assigned, turn.rebalances = 5, 1
    metrics.observe(turn, 1_100)
    metrics.observe(Turn(Outcome.IDLE, alias_no=4, assigned=5), 1_200)
    assert values(metrics, "events_total") == {(): 3}
    assert values(metrics, "dead_letters_total") == {(): 1}
    assert values(metrics, "transactions_total") == {(): 2}
    assert values(metrics, "turns_total") == {("committed",): 1, ("idle",): 1}
    assert values(metrics, "stage_seconds_total") == {("poll",): 0.5}
    assert values(metrics, "latency_seconds_sum") == {(): pytest.approx(0.3)}
    assert values(metrics, "latency_seconds_count") == {(): 2}
    assert (values(metrics, "partitions"), values(metrics, "alias_number")) == ({(): 5}, {(): 4})


def test_a_pause_is_seen() -> None:
    metrics = Metrics()
    metrics.observe(Turn(Outcome.PAUSED), 0)
    assert values(metrics, "store_away") == {(): 1}
    metrics.observe(Turn(Outcome.IDLE), 0)
    assert values(metrics, "store_away") == {(): 0}


def test_figures_of_one_handler_go_on_with_the_next() -> None:
    metrics = Metrics()
    tally = Tally(keys_read=10, refused=Counter({"not_json": 2}))
    metrics.count(tally, "1")
    metrics.count(tally, "1")
    tally.keys_read = 15
    metrics.count(tally, "1")
    metrics.count(Tally(keys_read=4, refused=Counter({"not_json": 1})), "2")
    assert values(metrics, "store_keys_total") == {(): 19}
    assert values(metrics, "refused_total") == {("not_json",): 3}


def test_what_serves_names_its_owner_from_the_settings_or_else_from_the_card() -> None:
    def serving(name: str, version: str) -> Any:
        manifest = SimpleNamespace(name=name, version=version, card=SimpleNamespace(owner="the card's"))
        resolved = SimpleNamespace(manifest=manifest, role="champion")
        return SimpleNamespace(resolved=resolved, bundle=SimpleNamespace(digest="ab"))

    metrics = Metrics({"late": "flights"}, 1_000)
    metrics.serving(serving("late", "1.0.0"), 0)
    assert values(metrics, "model_info") == {("ab", "late", "flights", "champion", "1.0.0"): 1}
    metrics.serving(serving("other", "2.0.0"), 0)
    assert values(metrics, "model_info") == {("ab", "other", "the card's", "champion", "2.0.0"): 1}
    assert values(metrics, "memory_limit_bytes") == {(): 1_000}


def test_when_it_last_committed_and_whether_it_is_ready() -> None:
    metrics = Metrics()
    assert values(metrics, "last_commit_timestamp_seconds") == {(): 0}
    metrics.observe(Turn(Outcome.COMMITTED, records=1), 5_000)
    metrics.observe(Turn(Outcome.IDLE), 9_000)
    metrics.state(0.5, ready=True)
    assert values(metrics, "last_commit_timestamp_seconds") == {(): 5}
    assert (values(metrics, "ready"), values(metrics, "loop_age_seconds")) == ({(): 1}, {(): 0.5})


def test_lag_is_of_the_partitions_that_are_there() -> None:
    metrics = Metrics()
    metrics.lag({Partition("events", 0): 5, Partition("events", 1): 0}, 2.5)
    assert values(metrics, "lag_seconds") == {(): 2.5}
    metrics.lag({Partition("events", 1): 0}, 99.0)
    assert values(metrics, "lag_records") == {("1", "events"): 0}  # by the labels' names: partition, topic
    assert values(metrics, "lag_seconds") == {(): 0}
