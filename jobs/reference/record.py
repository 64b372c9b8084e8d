"""The pages of the manifest and of a run's records, from the classes that read and write them."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from jobs.batch.output.ledger import LedgerEntry
from jobs.batch.plan.scope import Scope
from jobs.batch.publication import publish
from jobs.reference import docstring
from jobs.reference.meaning import MEANINGS
from jobs.reference.page import page, prose, table
from jobs.reference.setting import type_text
from scoretrail.feature.schema import Field
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model import manifest
from scoretrail.model.registry import AliasRecord
from scoretrail.table import RUN_ID
from scoretrail.trail.label_join import Assessment, LabelJoin
from scoretrail.trail.run import Hold, Intent, OutputFile, ScoringRun, WorkMessage

_COMMIT_KEY: Final = re.compile(r'"(scoretrail\.[a-z_0-9]+)"')

_MANIFEST: Final = """
`manifest.json` is canonical JSON: keys sorted, no spaces, UTF-8, no NaN. Its sha256 is the bundle's digest. It
hashes the files that score; `SHA256SUMS` covers the manifest and the card as well, in the form that `sha256sum
--check` reads. `model.sig`, where there is one, is the signature. What it all is for: [the
bundle](../explanation/bundle.md).

```
REGISTRY/NAME/VERSION/        manifest.json  model.onnx  features.py  golden.parquet  card.md  SHA256SUMS  (model.sig)
REGISTRY/NAME/aliases/        000001.json  000002.json  …    the highest number of an alias is where it stands
```
"""
_RECORDS: Final = """
Everything a table knows of its runs lies below `TABLE/_scoretrail/`. The leading underscore keeps it out of every
Delta reader and of vacuum. Records are canonical JSON. They are created exclusively, so that of two writers one
wins; only the attempts, the cache and the pages on health are ever written again.

```
TABLE/_scoretrail/
  RUN_ID/intent.json            what the run set out to do, before it scored
  RUN_ID/attempts/ATTEMPT.json  one for each process that worked on the run
  RUN_ID/work/WORK_KEY.json     what one piece of work did: the first attempt's message stands
  RUN_ID/held.json              a run that waits for `scoretrail runs release`
  RUN_ID/run.json               the record of a run that ended: published, unchanged, refused
  scopes/SCOPE.json             what a scope's id means
  vacuum/TIME-ID.json           which files each vacuum removed, written before the first went
  ledger/FILE.json              which work keys a merged file holds
  JOIN_ID/join.json             beside a labelled table: the record of a join of outcomes, and how good scores were
  cache/INPUT_ID.parquet        digests of input files, by path, size and time; losing it costs time only
  health/MODEL.html             the page on a model's health, as of the last run
```
"""


def manifest_page() -> str:
    """Return the page of a bundle's manifest and of the alias records beside it."""
    names = ("Output", "Guards", "Abstention", "Training", "Metric", "Profile", "Platform", "Card")
    parts = [getattr(manifest, name) for name in names]
    contract = set(Field(name="x", type=_any_type()).contract())
    return page(
        "Manifest and registry",
        "scoretrail/model/manifest.py",
        _MANIFEST,
        _section("manifest.json", manifest.Manifest),
        _section("tensors", TensorSpec),
        *(_section(part.__name__.lower(), part) for part in parts),
        _section("view: one field of the contract", Field, only=contract),
        _section("aliases/NNNNNN.json", AliasRecord),
    )


def runs_page() -> str:
    """Return the page of the records of runs."""
    source = inspect.getsource(publish)
    keys = dict.fromkeys([RUN_ID, *_COMMIT_KEY.findall(source)])
    commit = (
        "## Commit metadata\n\nThe table's own log carries the run's hashes, so that log and records can be held "
        "against each other (`scoretrail runs verify`):\n\n" + "\n".join(f"- `{key}`" for key in keys)
    )
    return page(
        "Run records",
        "scoretrail/trail/run.py",
        _RECORDS,
        _section("run.json", ScoringRun),
        _section("intent.json", Intent),
        _section("work/WORK_KEY.json", WorkMessage),
        _section("work/WORK_KEY.json: predictions and rejects", OutputFile),
        _section("held.json", Hold),
        _section("scopes/SCOPE.json", Scope),
        _section("ledger/FILE.json", LedgerEntry),
        _section("join.json", LabelJoin),
        _section("join.json: performance", Assessment),
        commit,
    )


def _section(title: str, cls: type[Any], only: set[str] | None = None) -> str:
    told = docstring.of_attributes(cls)
    known = MEANINGS.get(cls.__name__, {})
    rows = [
        (f"`{name}`", f"`{type_text(kind)}`", prose(told.get(name) or known.get(name, "")))
        for name, kind in _typed(cls).items()
        if only is None or name in only
    ]
    first = prose(docstring.first_paragraph(cls.__doc__))
    return f"## {title}\n\n{first}\n\n{table(('field', 'type', 'meaning'), rows)}"


def _typed(cls: type[Any]) -> dict[str, Any]:
    """Return field -> type of a dataclass or a pydantic model, in order.

    Raises:
        TypeError: it is neither.
    """
    if issubclass(cls, BaseModel):
        return {name: field.annotation for name, field in cls.model_fields.items()}
    if not is_dataclass(cls):
        msg = f"{cls.__name__} is no record"
        raise TypeError(msg)
    hints = _hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations, as text where they name what only a type checker imports."""
    try:
        return typing.get_type_hints(cls)
    except NameError:
        return dict(inspect.get_annotations(cls))


def _any_type() -> Any:  # noqa: ANN401  (pyarrow's types have no common type)
    import pyarrow as pa  # noqa: PLC0415

    return pa.string()
