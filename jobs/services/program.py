"""What a service is made of: how it is configured and started, and how one knows that it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Program(Protocol):
    """A program with a folder and a port of its own; it has no state, and starting it twice is the caller's mistake."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def folder(self) -> Path:
        """Where its configuration, its data and its log lie."""
        ...

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        ...

    def further_ports(self) -> Mapping[str, int]:
        """Return name -> port of what else it listens on for clients."""
        ...

    def prepare(self) -> None:
        """Write what it needs to start into its folder; data that is there already stays.

        Raises:
            ServiceError: that failed.
        """
        ...

    def command(self) -> Sequence[str]:
        """Return an absolute path and its arguments."""
        ...

    def answers(self) -> bool:
        """Tell whether it does its work now, not only whether its port is open; takes a second at most."""
        ...
