"""``scoretrail model register``: from an ONNX file, feature code and rows to a published bundle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.model import Name, Version
from scoretrail import digest
from scoretrail.errors import InputError, RegistryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from jobs.command.terminal import Terminal
    from jobs.command.training import TrainingData
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.manifest import Manifest

_MAX_GOLDEN_ROWS: Final = 10_000
"""They are scored at every load, in every worker process."""
_CARD: Final = "Card"
_DECISION: Final = "Decision"
_TRAINING: Final = "Training"


app = group("Register models.")


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


def _file(text: str, panel: str | None = None) -> Any:  # noqa: ANN401  (typer's own type is not public)
    return typer.Option(metavar="FILE", exists=True, dir_okay=False, help=text, rich_help_panel=panel)


def _option(text: str, panel: str, metavar: str | None = None, name: str | None = None) -> Any:  # noqa: ANN401
    names = (name,) if name else ()
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


@command(app)
def register(
    invocation: Invocation,
    name: Name,
    version: Version,
    *,
    onnx: Annotated[Path, _file("The model.")],
    features: Annotated[str, typer.Option(metavar="FILE.py:VIEW", help="Feature code, and the view's name in it.")],
    training_data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Parquet file or folder: hashed whole, sampled for proof and golden rows."),
    ] = None,
    golden: Annotated[Path | None, _file("Parquet file with the golden rows; default a sample.")] = None,
    alias: Annotated[str | None, typer.Option(help="Let this alias stand for the version.")] = None,
    metrics: Annotated[Path | None, _file("YAML or JSON: {auc: 0.62, …}", _CARD)] = None,
    card: Annotated[Path | None, _file("YAML: owner, intended_use, limitations, changes, licence.", _CARD)] = None,
    owner: Annotated[str | None, _option("Who answers for it.", _CARD)] = None,
    intended_use: Annotated[str | None, _option("What it is for.", _CARD)] = None,
    limitations: Annotated[str | None, _option("What it is not for.", _CARD)] = None,
    changes: Annotated[str | None, _option("What changed since the version before.", _CARD)] = None,
    licence: Annotated[str | None, _option("Its licence.", _CARD)] = None,
    task: Annotated[
        Task | None, _option("binary, multiclass or regression; default: what the graph says.", _DECISION, "TASK")
    ] = None,
    classes: Annotated[str | None, _option("Class labels, where the graph names none.", _DECISION, "A,B,C")] = None,
    threshold: Annotated[float | None, _option("The second class from this score on (0.5).", _DECISION)] = None,
    guard_min: Annotated[float | None, _option("Reject rows with a lower score.", _DECISION)] = None,
    guard_max: Annotated[float | None, _option("Reject rows with a higher score.", _DECISION)] = None,
    cap_min: Annotated[float | None, _option("Raise lower scores to this.", _DECISION)] = None,
    cap_max: Annotated[float | None, _option("Lower higher scores to this.", _DECISION)] = None,
    abstain: Annotated[
        str | None, _option("Decide so for scores from LOW to below HIGH.", _DECISION, "LOW,HIGH,DECISION")
    ] = None,
    window: Annotated[str | None, _option("The data's time.", _TRAINING, "START..END")] = None,
    parameters: Annotated[
        list[str] | None, _option("YAML or JSON file, or one parameter.", _TRAINING, "FILE|KEY=VALUE")
    ] = None,
    seed: Annotated[int | None, _option("The seed.", _TRAINING)] = None,
    lock: Annotated[Path | None, _file("Lock file of the training environment, to be hashed.", _TRAINING)] = None,
    code_commit: Annotated[
        str | None, _option("Commit of the training code; default: git's, where the feature code lies.", _TRAINING)
    ] = None,
) -> None:
    """Prove a model and publish it as an immutable bundle.

    It must fit its view, give the same bits at any batch size and in a fresh process, stay within the budget, and have
    a version number that says what changed.
    """
    from jobs.command import statement
    from scoretrail.model.manifest import Training
    from scoretrail.model.registration import Registration
    from scoretrail.model.registration import register as publish

    terminal, settings = invocation.terminal, invocation.settings
    _refuse_early(invocation, name, version, alias)
    stated = {"owner": owner, "intended_use": intended_use, "limitations": limitations}
    about = statement.card(card, {**stated, "changes": changes, "licence": licence})
    start, end = statement.window(window)
    code = _feature_code(features)
    data = _training_data(invocation, code.view, training_data) if training_data else None
    golden_rows = _golden(golden) if golden else None
    request = Registration(
        name=name,
        version=version,
        onnx=onnx.read_bytes(),
        features=code.source,
        view_name=code.view_name,
        records=_proof_records(data, golden_rows),
        golden=golden_rows,
        task=task.value if task else None,
        classes=statement.classes(classes),
        threshold=threshold,
        guards=statement.guards(guard_min, guard_max, cap_min, cap_max),
        abstention=statement.abstention(abstain),
        training=Training(
            data_sha256=data.sha256 if data else None,
            rows=data.rows if data else None,
            window_start=start,
            window_end=end,
            parameters=statement.parameters(parameters or ()),
            seed=seed,
            lock_sha256=digest.of_bytes(lock.read_bytes()) if lock else None,
            code_commit=code_commit or statement.code_commit(code.folder),
        ),
        metrics=statement.metrics(metrics),
        card=about,
        attach=_baseline(data, terminal) if data else lambda _: {},
    )
    terminal.step(f"proving {name} {version}: same bits at any batch size and in a fresh process, cost")
    manifest, bundle_sha256 = publish(
        invocation.registry, request, settings.registry.budget, invocation.clock, settings.model
    )
    if alias:
        invocation.registry.move_alias(name, alias, version, "registered")
    _tell(invocation, manifest, bundle_sha256, alias)


@dataclass(frozen=True)
class _FeatureCode:
    source: bytes
    view_name: str
    view: FeatureView
    folder: Path


def _refuse_early(invocation: Invocation, name: str, version: str, alias: str | None) -> None:
    """Refuse before data is read what publication would refuse after it.

    Raises:
        RegistryError: a name, version or alias that will not do, or a version that is published.
    """
    from scoretrail.model.manifest import check_name, parse_version
    from scoretrail.model.registry import PREVIOUS

    parse_version(version)
    if alias is not None and check_name(alias) == PREVIOUS:
        raise RegistryError("`previous` follows from the champion's history and is never moved", where="--alias")
    if version in invocation.registry.versions(check_name(name)):
        raise RegistryError(
            f"{name} {version} exists already, and versions are immutable",
            where=invocation.registry_uri,
            fix="choose a higher version; `scoretrail model list` shows what there is",
        )


def _feature_code(text: str) -> _FeatureCode:
    """Return the code and the view of ``FILE.py:VIEW``.

    Raises:
        UsageError: it is not of that form.
        InputError: there is no such file.
        FeatureViewError: the code is refused.
    """
    from scoretrail.feature.source import load_view

    name, colon, view_name = text.rpartition(":")
    if not (name and colon and view_name.isidentifier()):
        raise UsageError("--features cannot be understood", expected="FILE.py:VIEW", got=text)
    file = Path(name)
    if not file.is_file():
        raise InputError("there is no such feature code", where=str(file), expected="FILE.py:VIEW")
    source = file.read_bytes()
    return _FeatureCode(source, view_name, load_view(source, view_name), file.absolute().parent)


def _training_data(invocation: Invocation, view: FeatureView, place: str) -> TrainingData:
    from jobs.command.training import read_training

    invocation.terminal.step(f"reading training data in {place}")
    return read_training(place, view, invocation.settings.storage.plain())


def _baseline(data: TrainingData, terminal: Terminal) -> Callable[[Bundle], dict[str, bytes]]:
    """Return what makes the baseline of a proven model from its training data."""
    from scoretrail.monitor.learning import learn

    def attach(bundle: Bundle) -> dict[str, bytes]:
        terminal.step(f"counting {data.rows:,} rows for the baseline")
        return learn(bundle, data.records, data.batches())

    return attach


def _golden(file: Path) -> pa.Table:
    """Return the rows of a file of golden rows.

    Raises:
        InputError: it is no readable Parquet file.
        UsageError: it has more rows than every load should score.
    """
    import pyarrow.parquet as pq

    from jobs.batch.input.probe import reading

    with reading(str(file)), pq.ParquetFile(file) as parquet:
        rows = parquet.metadata.num_rows
        if rows > _MAX_GOLDEN_ROWS:
            raise UsageError(
                "there are too many golden rows: every worker scores them at every load",
                where=str(file),
                expected=f"at most {_MAX_GOLDEN_ROWS:,}",
                got=f"{rows:,}",
                fix="give them as --training-data, of which a sample is taken",
            )
        return parquet.read()


def _proof_records(data: TrainingData | None, golden: pa.Table | None) -> pa.Table:
    """Return the rows a model is proven on.

    Raises:
        UsageError: there are none.
    """
    if data is None and golden is None:
        raise UsageError(
            "there are no rows to prove the model on", fix="give --training-data PATH, or --golden FILE, or both"
        )
    return data.records if data else golden


def _tell(invocation: Invocation, manifest: Manifest, bundle_sha256: str, alias: str | None) -> None:
    terminal, profile = invocation.terminal, manifest.profile
    uri = f"models:/{manifest.name}/{manifest.version}"
    terminal.facts(
        f"registered {manifest.name} {manifest.version}",
        {
            "uri": uri,
            "registry": invocation.registry_uri,
            "alias": alias,
            "bundle sha256": bundle_sha256,
            "score digest": manifest.score_digest,
            "bits": "same at any batch size" if manifest.block is None else f"same in calls of {manifest.block} rows",
            "engine": f"{manifest.engine.name}: {manifest.engine.reason}",
            "load": f"{profile.load_s:.2f} s, peak memory {profile.peak_memory_bytes / 2**20:.0f} MiB",
            "a batch": f"{profile.batch_rows:,} rows in {profile.p50_ms:.2f} ms (p99 {profile.p99_ms:.2f} ms)",
        },
    )
    terminal.result(
        {
            "name": manifest.name,
            "version": manifest.version,
            "uri": uri,
            "registry": invocation.registry_uri,
            "alias": alias,
            "bundle_sha256": bundle_sha256,
            "score_digest": manifest.score_digest,
            "block": manifest.block,
            "engine": manifest.engine.model_dump(mode="json"),
            "profile": manifest.profile.model_dump(mode="json"),
        }
    )
    later = [f"scoretrail model show {uri}"]
    if not alias:
        later.append(f"scoretrail model alias {manifest.name} champion {manifest.version}")
    if invocation.settings.registry.trusted_keys:
        later.insert(0, f"scoretrail model sign {uri} --key PRIVATE.pem")
    terminal.next(*later)
