"""Records of a worker's runs: one when its process starts, one for each model that it switches to."""

from __future__ import annotations

import platform
import secrets
import socket
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

import scoretrail
from scoretrail import digest, log
from scoretrail.clock import utc_text
from scoretrail.errors import ScoretrailError
from scoretrail.model.manifest import MODEL
from scoretrail.model.scorer import engine_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.port import Partition
    from jobs.stream.serving.served import ServedBundle
    from scoretrail.clock import Clock
    from scoretrail.config import ResolvedSettings
    from scoretrail.storage import Storage

RUN: Final = "run.json"
_SUFFIX_BYTES: Final = 4


@dataclass(frozen=True, kw_only=True)
class StreamRun:
    """``run.json`` of a worker: what a process scored with from one moment on."""

    run_id: str
    kind: Literal["stream"] = "stream"
    reason: Literal["start", "switch"]
    process: str
    """Run id of the record that was written when the process started."""
    command: str
    started_at: str
    member: str
    """The slot's name towards brokers."""
    group: str
    input: tuple[str, ...]
    model: dict[str, Any]
    """uri, location, name, version, role, alias_no, bundle_sha256, model_sha256, score_digest, repeats_bits,
    engine."""
    offsets: dict[str, int]
    """Of a switch: the first offset that the model scored, of the partitions in its first transaction."""
    settings: dict[str, Any]
    """Resolved settings, secrets masked."""
    settings_sha256: str
    environment: dict[str, str]
    """scoretrail, python, onnxruntime, pyarrow, kafka-python, machine, host."""

    def to_bytes(self) -> bytes:
        """Return the record as canonical JSON."""
        return digest.canonical_json(asdict(self))


class RunWriter:
    """Writes the records of one process; a record that cannot be written is logged and stops nothing."""

    def __init__(self, storage: Storage, resolved: ResolvedSettings, member: str, command: str, clock: Clock) -> None:
        """Prepare.

        Args:
            storage: where records lie, each in a folder of its run id.
            resolved: the settings.
            member: the slot's name towards brokers.
            command: what was called.
            clock: tells when.
        """
        self._storage = storage
        self._resolved = resolved
        self._member = member
        self._command = command
        self._clock = clock
        self._process = ""

    def started(self, served: ServedBundle) -> None:
        """Record that a process begins to serve."""
        self._write("start", served, {})

    def switched(self, served: ServedBundle, offsets: Mapping[Partition, int]) -> None:
        """Record that a process serves another bundle, from these offsets on."""
        self._write("switch", served, offsets)

    def _write(
        self, reason: Literal["start", "switch"], served: ServedBundle, offsets: Mapping[Partition, int]
    ) -> None:
        now = self._clock.now()
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{self._member}-{secrets.token_hex(_SUFFIX_BYTES)}"
        self._process = self._process or run_id
        stream, settings = self._resolved.settings.stream, self._resolved.masked()
        run = StreamRun(
            run_id=run_id,
            reason=reason,
            process=self._process,
            command=self._command,
            started_at=utc_text(now),
            member=self._member,
            group=stream.group,
            input=stream.input,
            model=_model(served),
            offsets={str(partition): offset for partition, offset in sorted(offsets.items())},
            settings=settings,
            settings_sha256=digest.of_json(settings),
            environment=_environment(),
        )
        try:
            self._storage.put_new(f"{run_id}/{RUN}", run.to_bytes())
        except ScoretrailError as error:
            log.get().error(log.TRAIL_WRITE_FAILED, run_id=run_id, where=self._storage.uri, error=error.what)


def _model(served: ServedBundle) -> dict[str, Any]:
    resolved = served.resolved
    manifest = resolved.manifest
    return {
        "uri": resolved.uri,
        "location": resolved.location,
        "name": manifest.name,
        "version": manifest.version,
        "role": resolved.role,
        "alias_no": served.alias_no,
        "bundle_sha256": resolved.digest,
        "model_sha256": manifest.files[MODEL],
        "score_digest": manifest.score_digest,
        "repeats_bits": served.bundle.repeats_bits,
        "engine": served.bundle.engine.name,
        "allowed_versions": sorted(served.pinned),
    }


def _environment() -> dict[str, str]:
    return {
        "scoretrail": scoretrail.__version__,
        "python": platform.python_version(),
        "onnxruntime": engine_version(),
        "pyarrow": metadata.version("pyarrow"),
        "kafka-python": metadata.version("kafka-python"),
        "machine": platform.machine(),
        "host": socket.gethostname(),
    }
