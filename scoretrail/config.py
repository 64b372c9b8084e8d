"""Settings in layers, each value with its origin.

Defaults < ``conf/base.yaml`` < ``conf/env/NAME.yaml`` < secret files < environment < command line.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import yaml
from pydantic import AwareDatetime, BaseModel, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from scoretrail.errors import ConfigurationError, nearest
from scoretrail.setting import (
    ArchiveSettings,
    ChallengerSettings,
    HealthSettings,
    KafkaSettings,
    LabelsSettings,
    OnlineSettings,
    Section,
    ServicesSettings,
    StreamSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scoretrail.digest import Json

MIB = 1024 * 1024
ENV_PREFIX: Final = "SCORETRAIL__"
"""Two underscores before each level: ``SCORETRAIL__BATCH__SPLIT_MIB=64``."""
_FREE: Final = ("metrics.owners", "spark.conf", "storage.options")
"""Mappings with names of the user's own; below them a name is one key, dots and all."""
_SECRET_NAME: Final = re.compile(r"(?i)secret|password|token|access[._]?key|credential")
"""Spark properties that Spark itself would redact (``spark.redaction.regex``)."""
_MASK: Final = "**********"
"""As pydantic shows a ``SecretStr``."""
_IN_URL: Final = re.compile(r"//[^/@]*@")
"""A user and a password in a URL."""


class StorageSettings(Section):
    """Access to object stores, by deltalake's and obstore's names (``aws_region``, ``aws_endpoint_url``)."""

    options: dict[str, SecretStr] = Field(default={})
    """Settings handed to the object store; every value is treated as a secret."""

    def plain(self) -> dict[str, str]:
        """Return the options unmasked, for the libraries that need them."""
        return {key: value.get_secret_value() for key, value in self.options.items()}


class BudgetSettings(Section):
    """The resource profile a bundle may have at registration."""

    max_bundle_mib: float = Field(default=512, gt=0)
    """Size of all files of a bundle."""
    max_load_s: float = Field(default=20, gt=0)
    """Time from bytes to a warm scorer, golden rows included."""
    max_peak_memory_mib: float = Field(default=2048, gt=0)
    """Peak resident memory of a process that loads the bundle and scores."""
    max_p99_ms: float = Field(default=1000, gt=0)
    """99th percentile of scoring one batch of 1,000 rows."""


class RegistrySettings(Section):
    """Where bundles are kept and what is let in."""

    uri: str = "registry"
    """Root of the registry: a local path or an object-store URI."""
    trusted_keys: tuple[str, ...] = ()
    """Public key files (PEM); when set, a bundle without a valid signature by one of them is refused."""
    budget: BudgetSettings = BudgetSettings()


class ModelSettings(Section):
    """How bundles are loaded, and by what they score."""

    bits: Literal["exact", "platform"] = "exact"
    """``exact`` refuses a machine on which a golden row differs in a bit; ``platform`` says so in the trail."""
    engine: Literal["auto", "onnxruntime"] = "auto"
    """``auto`` scores trees with the kernel where registration proved its bits; ``onnxruntime`` never does."""
    proof_rows: int = Field(default=1_000_000, ge=1000)
    """At registration, rows aimed at a tree model's thresholds on which the kernel must give ONNX Runtime's bits."""


class BatchSettings(Section):
    """How a batch run plans, scores and publishes."""

    table: str | None = None
    """The table that `runs`, `trail` and `table` commands mean without --table."""
    split_mib: int = Field(default=128, ge=1)
    """A larger file is cut into row-group ranges of about this size, each with a work key of its own."""
    pack_files: int = Field(default=1000, ge=1)
    """At most this many small files in one pack."""
    tasks: int | None = Field(default=None, ge=1)
    """Spark tasks at once to plan for; None asks Spark for its default parallelism."""
    batch_rows: int = Field(default=32_768, ge=1)
    """Rows read, checked and scored at once; fewer for views of very many columns, for they are all in memory."""
    row_group_rows: int = Field(default=131_072, ge=1)
    """Rows gathered into one row group of the output."""
    max_reject_ratio: float = Field(default=0.05, ge=0, le=1)
    """Above this share of rejected rows nothing is published (exit 70)."""
    max_remove_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of published rows that may go without ``--allow-remove`` because their input is gone."""
    conflict_attempts: int = Field(default=3, ge=1)
    """Times a run plans again when its scope has moved, before exit 75."""
    retention_days: int = Field(default=400, ge=0)
    """How long the log and superseded files are kept; ``runs verify`` says *expired* after that."""


class DriftSettings(Section):
    """How what was scored is held against the baseline, and what follows from it."""

    on_drift: Literal["publish", "hold"] = "publish"
    """Whether a batch run whose verdict is *drift* is published, or held for ``scoretrail runs release`` (exit 3)."""
    minimum_rows: int = Field(default=500, ge=1)
    """Nothing is said of a column with fewer rows."""
    false_discoveries: float = Field(default=0.01, gt=0, lt=1)
    """Of what is called a difference, so much may be chance (Benjamini and Hochberg)."""


class MetricsSettings(Section):
    """What Prometheus is told besides what a worker of the stream answers, and whom its alerts go to."""

    textfile_folder: str | None = None
    """The folder that node_exporter's textfile collector reads: batch runs, verdicts, labels and verifications are told
    there; None tells nobody."""
    owners: dict[str, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = Field(default={})
    """Model -> who is called: the label ``owner`` of its metrics and alerts; default the owner in its bundle's card."""


class SparkSettings(Section):
    """The Spark session of batch jobs."""

    master: str = "local[*]"
    """A Spark master URL."""
    conf: dict[str, str] = Field(default={})
    """Spark properties over ours."""


class LogSettings(Section):
    """Log output."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    render: Literal["auto", "json", "console"] = "auto"


class ClockSettings(Section):
    """The time of day a run believes in."""

    fixed_at: AwareDatetime | None = None
    """An aware time at which the clock stands still, for replays and comparisons."""


class Settings(BaseSettings):
    """Everything that can be set, by section."""

    # Inputs stay out of errors: one of them may be a secret, and a cause is printed with its error.
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    model: ModelSettings = ModelSettings()
    batch: BatchSettings = BatchSettings()
    drift: DriftSettings = DriftSettings()
    metrics: MetricsSettings = MetricsSettings()
    spark: SparkSettings = SparkSettings()
    kafka: KafkaSettings = KafkaSettings()
    stream: StreamSettings = StreamSettings()
    challenger: ChallengerSettings = ChallengerSettings()
    archive: ArchiveSettings = ArchiveSettings()
    labels: LabelsSettings = LabelsSettings()
    health: HealthSettings = HealthSettings()
    online: OnlineSettings = OnlineSettings()
    services: ServicesSettings = ServicesSettings()
    log: LogSettings = LogSettings()
    clock: ClockSettings = ClockSettings()

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Read nothing by itself: :func:`load` hands over the merged layers."""
        return (sources["init_settings"],)


@dataclass(frozen=True)
class ResolvedSettings:
    """The settings of a process, and where each value that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Dotted name of a value -> the layer that set it."""

    def rows(self) -> Iterator[tuple[str, Json, str]]:
        """Yield (dotted name, value, origin) for every setting, in the order of the code; secrets masked."""
        for name, value in _flatten(self.masked()):
            yield name, value, self._origin(name)

    def masked(self) -> dict[str, Any]:
        """Return the settings as JSON values, secrets masked."""
        values = self.settings.model_dump(mode="json")
        properties = values["spark"]["conf"]
        properties |= {key: _MASK for key in properties if _SECRET_NAME.search(key)}
        return values

    def _origin(self, name: str) -> str:
        return next((self.origins[key] for key in (name, name.rpartition(".")[0]) if key in self.origins), "default")


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    folder: Path | None = None,
    environment: str | None = None,
) -> ResolvedSettings:
    """Return the settings, every layer applied.

    Args:
        overrides: dotted name -> value from the command line; None values are left out.
        folder: the folder with ``base.yaml`` and ``env/``; default ``SCORETRAIL_CONF`` or ``conf``.
        environment: name of the file in ``env/``; default ``SCORETRAIL_ENV``, else none.

    Raises:
        ConfigurationError: an unknown name (the nearest known one is named), a value of the wrong type, or an
            environment without a file.
    """
    folder = folder or Path(os.environ.get("SCORETRAIL_CONF", "conf"))
    environment = environment or os.environ.get("SCORETRAIL_ENV")
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in _layers(folder, environment, overrides or {}):
        for name, value in _flatten(layer):
            if name in _SECTIONS:
                _refuse_scalar(name, value, origin)
                continue
            _assign(merged, name, value)
            origins.pop(name, None)  # so that the order is that of the layers
            origins[name] = origin
    try:
        return ResolvedSettings(Settings(**merged), origins)
    except ValidationError as error:
        _refuse_invalid(error, origins)


def _layers(
    folder: Path, environment: str | None, overrides: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _from_file(folder / "base.yaml")
    if environment:
        chosen = folder / "env" / f"{environment}.yaml"
        if not chosen.is_file():
            raise ConfigurationError(
                f"environment {environment!r} has no settings",
                where="SCORETRAIL_ENV",
                expected=str(chosen),
                fix="write that file, or unset SCORETRAIL_ENV",
            )
        yield from _from_file(chosen)
    secrets = os.environ.get("SCORETRAIL_SECRETS_DIR")
    if secrets:
        yield from _from_secret_files(Path(secrets))
    for variable, text in sorted(os.environ.items()):
        if variable.upper().startswith(ENV_PREFIX):
            name = _name(variable[len(ENV_PREFIX) :])
            yield variable, _nested(name, _parsed(name, text, variable))
    for name, value in overrides.items():
        if value is not None:
            yield "command line", _nested(name, value)


def _from_file(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not file.is_file():
        return
    try:
        values = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        # Neither its text nor its cause: they quote the file, and the line may hold a secret.
        raise ConfigurationError(
            "the file is not YAML", where=where, got=getattr(error, "problem", None) or "not UTF-8"
        ) from None
    if not isinstance(values, dict | None):
        raise ConfigurationError("the file holds no settings", where=str(file), expected="section: {name: value}")
    yield str(file), values or {}


def _from_secret_files(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Each file is named like a variable without its prefix, and holds one value.
    if not folder.is_dir():
        raise ConfigurationError("there is no such folder", where="SCORETRAIL_SECRETS_DIR", got=str(folder))
    for file in sorted(folder.iterdir()):
        # Kubernetes keeps its bookkeeping beside the files, under names that begin with two dots.
        if file.is_file() and not file.name.startswith("."):
            yield str(file), _nested(_name(file.name), file.read_text(encoding="utf-8").strip())


def _name(variable: str) -> str:
    return variable.lower().replace("__", ".")


def _parsed(name: str, text: str, variable: str) -> Any:  # noqa: ANN401  (JSON of any shape)
    # Lists and mappings are JSON; what everything else means is up to the setting's type.
    if text[:1] not in ("[", "{") or name.startswith(tuple(f"{free}." for free in _FREE)):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"setting {name} is not JSON", where=variable, got=str(error)) from error


def _flatten(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in layer.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _nested(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    nested: dict[str, Any] = {}
    _assign(nested, name, value)
    return nested


def _assign(target: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401
    *sections, last = _split_name(name)
    for section in sections:
        if not isinstance(target.get(section), dict):
            target[section] = {}
        target = target[section]
    target[last] = value


def _split_name(name: str) -> list[str]:
    for free in _FREE:
        if name.startswith(f"{free}."):
            return [*free.split("."), name.removeprefix(f"{free}.")]
    return name.split(".")


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{prefix}{name}"
            yield from _sections(field.annotation, f"{prefix}{name}.")


_SECTIONS: Final = frozenset((*_sections(Settings), *_FREE))


def _refuse_scalar(name: str, value: Any, origin: str) -> None:  # noqa: ANN401
    # Nothing at all is fine: a heading in YAML that has only comments below it.
    if value is not None and value != {}:
        raise ConfigurationError(
            f"{name} is a section and takes no value", where=origin, expected=f"{name}: {{name: value}}"
        )


def _refuse_invalid(error: ValidationError, origins: dict[str, str]) -> NoReturn:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    # The highest layer that set it, or something below it.
    origin = next((origins[key] for key in reversed(origins) if f"{key}.".startswith(f"{name}.")), None)
    if first["type"] == "extra_forbidden":
        section: Any = Settings
        for part in first["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        near = nearest(name, [_dotted(first["loc"][:-1], known) for known in section.model_fields])
        raise ConfigurationError(
            f"there is no setting {name}",
            where=origin,
            fix=f"did you mean {near}?" if near else "`scoretrail config show` lists every setting",
        ) from error
    raise ConfigurationError(
        f"setting {name} cannot be used",
        where=origin,
        expected=str(first["msg"]),
        got=None if name.startswith(_FREE) else _IN_URL.sub(rf"//{_MASK}@", repr(first.get("input"))),
        fix="`scoretrail config show --origin` lists every setting and where it comes from",
    ) from error


def _dotted(parents: tuple[str | int, ...], name: str) -> str:
    return ".".join([*(str(part) for part in parents), name])
