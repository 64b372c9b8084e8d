"""Sections of the settings: brokers, loop and online store of a worker, what becomes of its predictions, services."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """A section: frozen, each setting with a docstring, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class KafkaSettings(Section):
    """The brokers and how to reach them; the timings of the loop, each shorter than the next."""

    bootstrap: tuple[str, ...] = ("127.0.0.1:9092",)
    """HOST:PORT of one broker or more."""
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What protects the connection."""
    ca_file: str | None = None
    """Certificates (PEM) that a broker's must be signed by; default the system's."""
    cert_file: str | None = None
    """Our certificate (PEM), where brokers ask for one."""
    key_file: str | None = None
    """Its private key."""
    key_password: SecretStr | None = None
    """What the private key is encrypted with; from the environment or a secret file."""
    check_hostname: bool = True
    """Whether a broker's certificate must name its host."""
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """How SASL proves who we are."""
    username: str | None = None
    """The SASL user."""
    password: SecretStr | None = None
    """Its password; from the environment or a secret file."""
    bootstrap_s: float = Field(default=4, gt=0)
    """How long a first connection may take."""
    delivery_s: float = Field(default=3, gt=0)
    """A record that is not acknowledged by then fails its transaction."""
    transaction_s: float = Field(default=4, gt=0)
    """After this the broker aborts a transaction whose worker is gone; until then readers wait."""
    watchdog_s: float = Field(default=10, gt=0)
    """A loop that did not move for so long ends its process (exit 75)."""
    max_poll_interval_s: float = Field(default=30, gt=0)
    """A worker that did not poll for so long loses its partitions."""
    session_s: float = Field(default=6, gt=0)
    """A worker without a heartbeat for so long loses its partitions; brokers allow no less than 6 by default."""
    max_request_bytes: int = Field(default=1_048_576, ge=1024)
    """The largest record that is sent."""
    compression: Literal["gzip", "lz4", "snappy", "zstd"] | None = None
    """Of what is sent; all but gzip need a library of their own."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        times = (self.delivery_s, self.transaction_s, self.watchdog_s, self.max_poll_interval_s)
        if list(times) != sorted(set(times)):
            msg = "delivery_s < transaction_s < watchdog_s < max_poll_interval_s"
            raise ValueError(msg)
        if self.security.startswith("SASL") and (self.username is None or self.password is None):
            msg = "a username and a password for SASL"
            raise ValueError(msg)
        return self


class StreamSettings(Section):
    """How a worker of the stream takes, scores and publishes events."""

    model: str | None = None
    """What is served: ``models:/NAME@ALIAS``; the alias is followed while the worker runs."""
    app: str = "scoretrail"
    """First part of the name of a slot, by which brokers know a worker."""
    group: str = "scoretrail"
    """The consumer group."""
    slot: str | None = None
    """Which of the group's slots this worker has; default the number at the end of the host's name."""
    input: tuple[str, ...] = ("events",)
    """Topics of events."""
    redrive: bool = False
    """Whether ``TOPIC.redrive`` is read beside each topic of events: dead letters come back by it."""
    predictions: str = "predictions"
    """Topic of predictions."""
    dead_letters: str = "dead-letters"
    """Topic of refused events."""
    control: str | None = None
    """Topic of which a record makes the worker look at the registry at once."""
    batch_records: int = Field(default=2000, ge=1)
    """A micro-batch closes at so many records."""
    batch_ms: float = Field(default=10, ge=0)
    """Or so long after its first record was read."""
    batch_output_bytes: int = Field(default=8_388_608, ge=1024)
    """One transaction publishes at most so much, so that it commits within half of ``kafka.transaction_s``."""
    allowed_versions: tuple[str, ...] = ()
    """Versions that an event may ask for by header; loaded at the start."""
    registry_poll_s: float = Field(default=0.5, gt=0)
    """How often the worker looks for a new alias."""
    max_dead_letter_ratio: float = Field(default=0.5, gt=0, le=1)
    """Above this share of the last ``dead_letter_window`` records the worker stops (exit 70)."""
    dead_letter_window: int = Field(default=10_000, ge=1)
    """Records that the share of dead letters is taken of."""
    drain_s: float = Field(default=10, gt=0)
    """After SIGTERM the worker finishes its transaction within this time, or ends anyway."""
    recover_s: float = Field(default=60, gt=0)
    """How long a worker tries to reach its brokers again before it ends (exit 75)."""
    trail: str = "stream-trail"
    """Where a record is written per start and per switch of the model: a path or an object-store URI."""
    log_sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of committed transactions that have a line in the log; what is not as usual always has."""
    otlp_endpoint: str | None = None
    """Where spans go to, such as ``http://127.0.0.1:4318/v1/traces``; needs the extra ``otel``; None makes none."""
    max_event_bytes: int = Field(default=1_048_576, ge=1)
    """An event with a larger value is refused before it is decoded; the default is as much as a topic takes."""
    max_event_headers: int = Field(default=64, ge=0)
    """An event with more headers is refused."""
    max_future_s: float = Field(default=60, ge=0)
    """How far an event time may lie behind its record's timestamp, for clocks differ."""
    health_host: str = "127.0.0.1"
    """Where the worker answers about its health."""
    health_port: int = Field(default=8321, ge=0, le=65_535)
    """0 takes a free one."""


class ChallengerSettings(Section):
    """What ``scoretrail stream shadow`` scores beside the champion; its brokers and sizes are the worker's."""

    model: str | None = None
    """What is tried: ``models:/NAME@ALIAS``; the alias is followed while the process runs."""
    group: str | None = None
    """A consumer group of its own; default that of ``stream.group`` with ``-challenger``."""
    source: Literal["auto", "recorded", "events"] = "auto"
    """``recorded`` scores the vectors in the champion's predictions, ``events`` reads what the champion reads."""
    predictions: str = "challenger-predictions"
    """Topic of its predictions."""
    dead_letters: str = "challenger-dead-letters"
    """Topic of what it refused."""
    max_lag_records: int = Field(default=100_000, ge=1)
    """Where a partition lags further behind, those of this process skip to their end."""
    segment: str | None = None
    """A request column by whose values the comparison is broken down as well."""
    max_segments: int = Field(default=50, ge=1)
    """Values that are told apart in a window; further ones are counted together."""
    window_s: float = Field(default=60, gt=0)
    """One comparison covers so long."""
    report: str | None = None
    """A file to which each comparison is appended as JSON lines; None writes none."""
    health_port: int = Field(default=8322, ge=0, le=65_535)
    """Where it answers about its health, on ``stream.health_host``; 0 takes a free one."""


class ArchiveSettings(Section):
    """The Delta table that predictions are archived in."""

    table: str | None = None
    """The archive: a path or an object-store URI."""
    commit_s: float = Field(default=60, gt=0)
    """Predictions wait so long at most until they are committed."""
    commit_rows: int = Field(default=200_000, ge=1)
    """Or until they are so many."""
    target_mib: int = Field(default=128, ge=1)
    """Small files of a day are merged up to this size."""
    compact_commits: int = Field(default=60, ge=0)
    """After so many commits; 0 leaves merging to ``scoretrail table compact``."""


class LabelsSettings(Section):
    """How outcomes are joined to predictions, and what is said of them."""

    table: str | None = None
    """The labelled table: a path or an object-store URI."""
    segments: tuple[str, ...] = ()
    """Columns of the outcomes, each by whose values performance is broken down."""
    window_days: int = Field(default=28, ge=7)
    """Event dates of the rolling window, which ends with the newest labelled one. Best whole weeks: a Sunday is no
    Monday."""
    minimum_rows: int = Field(default=500, ge=1)
    """With fewer labelled rows in the window there is no verdict."""
    cost_false_alarm: float = Field(default=1.0, ge=0)
    """What a decision for the second class costs where it was the first, in any unit."""
    cost_miss: float = Field(default=1.0, ge=0)
    """What a decision for the first class costs where it was the second."""


class HealthSettings(Section):
    """Where the page on a model's health asks and leads to, besides the tables and the registry."""

    prometheus: str | None = Field(default=None, pattern=r"^https?://[^@\s]+$")
    """URL of the Prometheus that is asked for lag, latency and open alerts, such as ``http://127.0.0.1:9090``."""
    runbooks: str | None = Field(default=None, pattern=r"^(https?://|\.{0,2}/)\S*$")
    """Where the runbook pages lie, one ``ALERT.md`` for each alert: a URL or a path; None links nothing."""


class OnlineSettings(Section):
    """The online store of stored features, and what is done while it is away."""

    uri: str | None = None
    """``redis://HOST:PORT/DB`` or, with TLS, ``rediss://…``; None where no view has stored features."""
    username: str | None = None
    """The store's user."""
    password: SecretStr | None = None
    """Its password; from the environment or a secret file."""
    ca_file: str | None = None
    """Certificates (PEM) that the store's must be signed by; default the system's."""
    deadline_ms: float = Field(default=50, gt=0)
    """For all reads of one micro-batch together."""
    connect_ms: float = Field(default=1000, gt=0)
    """For a new connection with its handshakes, which is made beside the loop: no read waits beyond its deadline."""
    chunk_keys: int = Field(default=512, ge=1)
    """Keys in one request."""
    when_down: Literal["pause", "default", "dead_letter"] = "pause"
    """``pause`` waits for it, ``default`` scores with the view's defaults and says so, ``dead_letter`` refuses."""
    supersede_events: int = Field(default=0, ge=0)
    """Under ``default``: so many events that were scored without the store are kept in memory, and scored once more
    when it answers, by a prediction that supersedes the first; 0 none."""
    breaker_failures: int = Field(default=3, ge=1)
    """Reads that failed in a row until the store counts as away."""
    breaker_open_s: float = Field(default=1, gt=0)
    """How long it is then left alone before one read tries again."""


class ServicesSettings(Section):
    """The Kafka and the Valkey that ``scoretrail services`` runs for development."""

    folder: str = ".scoretrail/services"
    """Where they keep their configuration, their data, their logs and what is known of their processes."""
    cache: str | None = None
    """Where Kafka's jars are kept; default ``scoretrail`` in the user's cache folder."""
    ivy_settings: str | None = None
    """An Ivy settings file that says where the jars are fetched; default Maven's central repository."""
