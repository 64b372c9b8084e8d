"""Becomes another program, whose life is tied to that of its parent; run by its path, with the parent's id first."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""``prctl(2)``: the signal that the kernel sends when the thread that started this process ends."""


def main(parent: int, command: list[str]) -> None:
    """Tie, where the kernel can, and become the command.

    Args:
        parent: the id of the process to be tied to.
        command: an absolute path, and its arguments.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            return  # it ended before the tie was made
    os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
