"""Slots: the fixed places of a group's workers, by which brokers know that a restart is the same worker."""

from __future__ import annotations

import re
from typing import Final

from scoretrail.errors import UsageError

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_ORDINAL: Final = re.compile(r"[a-z0-9.-]*[a-z0-9]-(?P<ordinal>[0-9]{1,6})")
"""The host name of a StatefulSet's pod: its name and its number."""


def slot_of(asked: str | None, host: str) -> str:
    """Return a worker's slot.

    Args:
        asked: what ``--slot`` or ``stream.slot`` says.
        host: this machine's name, whose number counts where nothing was asked for.

    >>> slot_of(None, "scorer-3")
    '3'
    >>> slot_of("blue", "scorer-3")
    'blue'

    Raises:
        UsageError: nothing was asked for and the host has no number, or what was asked for cannot be a name.
    """
    if asked is None:
        numbered = _ORDINAL.fullmatch(host)
        if numbered is None:
            raise UsageError(
                "this worker has no slot",
                where="stream.slot",
                expected="--slot, or a host name that ends in a number as a StatefulSet's do",
                fix="give each worker of the group another slot: --slot 0, --slot 1, …",
            )
        return str(int(numbered["ordinal"]))
    if not _NAME.fullmatch(asked):
        raise UsageError(f"{asked!r} cannot be a slot", expected="up to 60 letters, digits and . _ -")
    return asked


def member_name(app: str, group: str, slot: str) -> str:
    """Return the name that a slot has towards brokers: group instance id and transactional id alike.

    >>> member_name("scoretrail", "late", "0")
    'scoretrail-late-0'

    Raises:
        UsageError: a part cannot be in a name.
    """
    for part in (app, group):
        if not _NAME.fullmatch(part):
            raise UsageError(f"{part!r} cannot be part of a worker's name", expected="letters, digits and . _ -")
    return f"{app}-{group}-{slot}"
