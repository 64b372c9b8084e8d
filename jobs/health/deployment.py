"""What the numbered alias records say: what stands where, and how often that changed, went back and recovered."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Final

from jobs.health.fact import Deployments, Move, MoveKind, Standing
from scoretrail.clock import from_utc_text
from scoretrail.errors import ScoretrailError
from scoretrail.model.manifest import MODEL, parse_version
from scoretrail.model.registry import CHAMPION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from scoretrail.model.registry import AliasRecord, Registry

CHALLENGER: Final = "challenger"
RECENT_DAYS: Final = 30
"""Of what is called the frequency."""


def standings(registry: Registry, name: str, records: Sequence[AliasRecord]) -> tuple[Standing, ...]:
    """Return what each alias stands for, the champion first; a manifest that cannot be read leaves its fields empty.

    Args:
        registry: has the manifests.
        name: the model's.
        records: every move of every alias, oldest first.
    """
    newest = {one.alias: one for one in records}
    return tuple(_standing(registry, name, newest[alias]) for alias in sorted(newest, key=importance))


def importance(role: str) -> tuple[int, str]:
    """Return by what aliases and roles are put in order.

    >>> sorted(["canary", "challenger", "champion"], key=importance)
    ['champion', 'challenger', 'canary']
    """
    first = (CHAMPION, CHALLENGER)
    return (first.index(role) if role in first else len(first), role)


def deployments(records: Sequence[AliasRecord], now: datetime) -> Deployments:
    """Return the changes of the champion.

    A deployment is a move of the champion to another version. It is a rollback if that version is an earlier one; the
    time to recover is the time since the move that it undid, which is the one before it.

    Args:
        records: every move of every alias, oldest first.
        now: ends the days that are counted as recent.
    """
    moves = _moves(records)
    made = [one for one in moves if one.kind == "deployment"]
    recovered = [one.recovered_s for one in moves if one.recovered_s is not None]
    since = now - timedelta(days=RECENT_DAYS)
    return Deployments(
        moves=moves,
        total=len(made),
        recent=sum(from_utc_text(one.at) >= since for one in made),
        recent_days=RECENT_DAYS,
        rollbacks=sum(one.kind == "rollback" for one in moves),
        recover_s=median(recovered) if recovered else None,
    )


def _standing(registry: Registry, name: str, record: AliasRecord) -> Standing:
    try:
        manifest = registry.manifest(name, record.version)
    except ScoretrailError:
        manifest = None
    return Standing(
        alias=record.alias,
        version=record.version,
        number=record.number,
        since=record.at,
        reason=record.reason,
        bundle_sha256=record.bundle_sha256,
        model_sha256=manifest.files.get(MODEL) if manifest else None,
        owner=manifest.card.owner if manifest else None,
    )


def _moves(records: Sequence[AliasRecord]) -> tuple[Move, ...]:
    moves = []
    standing: dict[str, AliasRecord] = {}
    changed: AliasRecord | None = None
    for record in records:
        before = standing.get(record.alias)
        standing[record.alias] = record
        kind: MoveKind = "other"
        recovered_s = None
        if record.alias == CHAMPION and (before is None or before.version != record.version):
            is_back = before is not None and parse_version(record.version) < parse_version(before.version)
            kind = "rollback" if is_back else "deployment"
            if is_back and changed is not None:
                recovered_s = (from_utc_text(record.at) - from_utc_text(changed.at)).total_seconds()
            changed = record
        moves.append(
            Move(
                number=record.number,
                alias=record.alias,
                at=record.at,
                version=record.version,
                before=before.version if before else None,
                kind=kind,
                recovered_s=recovered_s,
                reason=record.reason,
            )
        )
    return tuple(moves)
