"""Everything that is generated, by path, and its way onto the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from jobs.reference import compatibility, contract, topic
from jobs.reference.column import tables_page
from jobs.reference.command import commands_page
from jobs.reference.event import events_page
from jobs.reference.failure import errors_page
from jobs.reference.metric import metrics_page
from jobs.reference.record import manifest_page, runs_page
from jobs.reference.room import with_rooms
from jobs.reference.setting import settings_page
from scoretrail.feature.source import load_view

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
"""The repository: pages are generated in a checkout, never by an installed wheel."""
ARCHITECTURE: Final = "docs/explanation/architecture.md"


def generated(root: Path = ROOT) -> dict[str, str]:
    """Return path -> text of every generated file.

    Args:
        root: the repository.
    """
    entries = contract.sources(root)
    tables = {entry.id: contract.tables_of(entry, root) for entry in entries}
    view = load_view((root / entries[0].features).read_bytes(), entries[0].view)
    source = "contracts/tables.yaml and scoretrail/trail/prediction.py"
    return {
        "docs/reference/cli.md": commands_page(),
        "docs/reference/settings.md": settings_page(),
        "docs/reference/errors.md": errors_page(),
        "docs/reference/tables.md": tables_page(view),
        "docs/reference/manifest.md": manifest_page(),
        "docs/reference/run-records.md": runs_page(),
        "docs/reference/log-events.md": events_page(root),
        "docs/reference/metrics.md": metrics_page(),
        "docs/reference/topics.md": topic.topics_page(root),
        ARCHITECTURE: with_rooms((root / ARCHITECTURE).read_text(encoding="utf-8"), root),
        **{contract_path(entry): contract.to_yaml(contract.odcs(entry, tables[entry.id]), source) for entry in entries},
        "contracts/dbt/sources.yml": contract.to_yaml(
            contract.dbt([table for pair in tables.values() for table in pair]), source
        ),
        **dict(topic.files(root)),
    }


def contract_path(entry: contract.TableSource) -> str:
    """Return where an entry's contract lies, below the repository's root."""
    return f"contracts/{entry.id}.odcs.yaml"


def write(files: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Write what differs from what is there; return its paths.

    Raises:
        OutputTableError: a contract would break the readers of the one that is there; then nothing is written.
    """
    stale = {path: text for path, text in files.items() if _read(root / path) != text}
    for path, text in stale.items():
        before = _read(root / path)
        if path.endswith(".odcs.yaml") and before is not None:
            contract.refuse_breaking(yaml.safe_load(before), yaml.safe_load(text))
        if path.endswith(".schema.json") and before is not None:
            compatibility.refuse_breaking(path, json.loads(before), json.loads(text))
    for path, text in stale.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return sorted(stale)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
