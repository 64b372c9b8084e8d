"""What a preflight says of one requirement: what was seen, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What was seen of one requirement."""

    name: str
    ok: bool
    """False only where something was seen to be wrong; what cannot be seen is said in the text."""
    text: str
    fix: str = ""
