"""What a worker tells Prometheus: one table of names, and the object that fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobs.metrics.exposition import Exposition
from jobs.metrics.metric import Metric
from jobs.stream.comparison.window import figures
from jobs.stream.loop.turn import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.comparison.window import Window
    from jobs.stream.handling.tally import Tally
    from jobs.stream.loop.turn import Turn
    from jobs.stream.port import Partition
    from jobs.stream.serving.served import ServedBundle

PREFIX: Final = "scoretrail_stream_"
_MS: Final = 1000
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RECORDS: Final = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000)


TABLE: Final = (
    Metric("events_total", "counter", "Events whose outcome is committed."),
    Metric("dead_letters_total", "counter", "Events whose committed outcome is a dead letter."),
    Metric("refused_total", "counter", "Events that were refused, by transactions that failed later too.", ("reason",)),
    Metric("turns_total", "counter", "Turns of the loop, by what came of them.", ("outcome",)),
    Metric("transactions_total", "counter", "Transactions that committed."),
    Metric("rebalances_total", "counter", "Rebalances that gave this worker partitions."),
    Metric("batch_records", "histogram", "Events of a turn that committed.", (), _RECORDS),
    Metric(
        "latency_seconds",
        "histogram",
        "From an event's timestamp to its commit: 20 events of each turn, spread evenly.",
        (),
        _SECONDS,
    ),
    Metric("stage_seconds_total", "counter", "Time spent, by stage of a turn.", ("stage",)),
    Metric("partitions", "gauge", "Partitions that this worker has."),
    Metric("lag_records", "gauge", "Records behind the end of a partition.", ("topic", "partition")),
    Metric("lag_seconds", "gauge", "Age of the newest committed event, while records wait; else 0."),
    Metric("feature_age_seconds", "gauge", "Highest age of a stored value in the last micro-batch.", ("stored",)),
    Metric("stored_total", "counter", "Stored features of scored events, by outcome.", ("stored", "outcome")),
    Metric("store_keys_total", "counter", "Keys that the online store was asked for."),
    Metric("store_damaged_total", "counter", "Values of the online store that are not what somebody wrote."),
    Metric("store_fallbacks_total", "counter", "Micro-batches for which the online store did not answer."),
    Metric("superseding_total", "counter", "Second predictions of events whose first was made without the store."),
    Metric("store_away", "gauge", "1 while the loop waits for the online store."),
    Metric("alias_number", "gauge", "Number of the alias record that serves."),
    Metric(
        "model_info",
        "gauge",
        "Always 1; the labels say what serves, and whom its alerts go to.",
        ("model", "version", "role", "owner", "bundle_sha256"),
    ),
    Metric("model_load_failures_total", "counter", "Bundles that could not be loaded; the one before serves on."),
    Metric("challenger_pairs_total", "counter", "Events that champion and challenger both scored."),
    Metric("challenger_disagreements_total", "counter", "Of those, the ones with another decision."),
    Metric("challenger_unmatched_total", "counter", "Events that the challenger scored and the champion did not."),
    Metric("challenger_skipped_total", "counter", "Offsets that the challenger passed over because it lagged."),
    Metric("challenger_agreement_ratio", "gauge", "Share of equal decisions in the last window that had some."),
    Metric("challenger_distance", "gauge", "Distance of the scores in the last window: mean, p95, max.", ("figure",)),
    Metric("loop_age_seconds", "gauge", "Time since the loop last moved."),
    Metric(
        "ready", "gauge", "1 while `/readyz` says so: a model is loaded, partitions are there, nothing is waited for."
    ),
    Metric("last_commit_timestamp_seconds", "gauge", "When a transaction was last committed; 0 before the first."),
    Metric(
        "memory_limit_bytes", "gauge", "Memory that this process may have: its control group's, else the machine's."
    ),
)
"""Every metric, under :data:`PREFIX`; ``process_*`` (CPU, memory, open files) come with them."""


class Metrics:
    """The figures of one worker; read by the thread that answers ``/metrics``."""

    def __init__(self, owners: Mapping[str, str] | None = None, memory_limit_bytes: int | None = None) -> None:
        """Make every metric of the table.

        Args:
            owners: model -> whom its alerts go to; default the owner in its card.
            memory_limit_bytes: what this process may have; None where nobody says.
        """
        self._exposition = Exposition(TABLE, PREFIX)
        self._of: dict[str, Any] = self._exposition.of
        self._owners = owners or {}
        self._before: dict[tuple[str, ...], float] = {}
        self._lagging: set[Partition] = set()
        self._serving: tuple[str, ...] = ()
        self._of["memory_limit_bytes"].set(float("nan") if memory_limit_bytes is None else memory_limit_bytes)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return self._exposition.text()

    def observe(self, turn: Turn, now_ms: float) -> None:
        """Count a turn.

        Args:
            turn: what it did.
            now_ms: milliseconds since 1970, for the events' latency.
        """
        of = self._of
        of["turns_total"].labels(turn.outcome).inc()
        of["partitions"].set(turn.assigned)
        of["alias_number"].set(turn.alias_no)
        of["store_away"].set(turn.outcome is Outcome.PAUSED)
        of["superseding_total"].inc(turn.superseding)
        if turn.rebalances:
            of["rebalances_total"].inc(turn.rebalances)
        for stage, seconds in turn.seconds.items():
            of["stage_seconds_total"].labels(stage).inc(seconds)
        if not turn.records:
            return
        of["events_total"].inc(turn.records)
        of["dead_letters_total"].inc(turn.dead_letters)
        of["transactions_total"].inc(turn.transactions)
        of["last_commit_timestamp_seconds"].set(now_ms / _MS)
        of["batch_records"].observe(turn.records)
        for timestamp_ms in turn.timestamps_ms:
            of["latency_seconds"].observe(max(0.0, now_ms - timestamp_ms) / _MS)

    def count(self, tally: Tally, handler: str) -> None:
        """Take over a handler's figures, which only rise.

        Args:
            tally: the figures since the handler was made.
            handler: names it, so that the next bundle's handler begins at 0 again.
        """
        rising: dict[tuple[str, ...], float] = {
            ("store_keys_total",): tally.keys_read,
            ("store_damaged_total",): tally.damaged_values,
            ("store_fallbacks_total",): tally.store_unavailable,
            **{("refused_total", reason): count for reason, count in tally.refused.items()},
            **{("stored_total", *key): count for key, count in tally.stored.items()},
            **{("stage_seconds_total", stage): seconds for stage, seconds in tally.stage_s.items()},
        }
        for (name, *labels), value in rising.items():
            self._raise((handler, name, *labels), self._labelled(name, labels), value)
        for stored, age_s in tally.oldest_s.items():
            self._of["feature_age_seconds"].labels(stored).set(age_s)

    def lag(self, records: Mapping[Partition, int], seconds: float) -> None:
        """Say how far this worker is behind.

        Args:
            records: of each of its partitions.
            seconds: age of the newest committed event, while records wait.
        """
        # Never all of them at once: a scrape between would find no lag, and an alert that waits would begin anew.
        for partition in self._lagging - records.keys():
            self._of["lag_records"].remove(partition.topic, partition.number)
        self._lagging = set(records)
        for partition, behind in records.items():
            self._of["lag_records"].labels(partition.topic, partition.number).set(behind)
        self._of["lag_seconds"].set(seconds if any(records.values()) else 0.0)

    def serving(self, served: ServedBundle, failures: int) -> None:
        """Say what serves."""
        manifest = served.resolved.manifest
        owner = self._owners.get(manifest.name, manifest.card.owner)
        labels = (manifest.name, manifest.version, served.resolved.role or "", owner, served.bundle.digest)
        if labels != self._serving:
            self._of["model_info"].clear()
            self._of["model_info"].labels(*labels).set(1)
            self._serving = labels
        self._raise(("model_load_failures_total",), self._of["model_load_failures_total"], failures)

    def compared(self, window: Window) -> None:
        """Say what champion and challenger made of the same events in a window."""
        of = self._of
        of["challenger_pairs_total"].inc(len(window.pairs))
        of["challenger_disagreements_total"].inc(sum(pair.agrees is False for pair in window.pairs))
        of["challenger_unmatched_total"].inc(window.counts.unmatched)
        of["challenger_skipped_total"].inc(window.counts.skipped)
        if not window.pairs:
            return
        found = figures(window.pairs)
        if found.agreement is not None:
            of["challenger_agreement_ratio"].set(found.agreement)
        for name, value in (("mean", found.mean), ("p95", found.p95), ("max", found.maximum)):
            of["challenger_distance"].labels(name).set(value)

    def state(self, loop_age_s: float, *, ready: bool) -> None:
        """Say how long ago the loop moved, and whether the worker is ready."""
        self._of["loop_age_seconds"].set(loop_age_s)
        self._of["ready"].set(ready)

    def _labelled(self, name: str, labels: list[str]) -> Any:  # noqa: ANN401
        return self._of[name].labels(*labels) if labels else self._of[name]

    def _raise(self, key: tuple[str, ...], metric: Any, value: float) -> None:  # noqa: ANN401
        before = self._before.get(key, 0.0)
        if value > before:
            metric.inc(value - before)
            self._before[key] = value
