"""What a check of the doctor found: whether it is as it must be, and if not, why not and what mends it."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.command.terminal import BAD, GOOD


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check."""

    check: str
    found: str
    cause: str | None = None
    """Why it is not as it must be; None where it is."""
    fix: str | None = None
    """What mends it: a line to type, where there is one."""

    @property
    def is_good(self) -> bool:
        """Whether it is as it must be."""
        return self.cause is None

    @property
    def mark(self) -> str:
        """A tick or a cross."""
        return GOOD if self.is_good else BAD


def first_line(error: BaseException) -> str:
    r"""Return an error's first line, or its type where it says nothing.

    >>> first_line(ValueError("no\nmore")), first_line(KeyError())
    ('no', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
