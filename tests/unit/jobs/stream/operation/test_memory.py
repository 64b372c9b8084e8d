"""The memory that a process may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.stream.operation.memory import limit_bytes

MACHINE = limit_bytes(Path("/nowhere"))


def test_a_machine_says_what_it_has() -> None:
    assert MACHINE is not None
    assert MACHINE > 2**28


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_group_says_less(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1048576\n")
    assert limit_bytes(tmp_path) == 1_048_576


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", ""])
def test_a_group_without_a_limit_leaves_the_machine(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)
    assert limit_bytes(tmp_path) == MACHINE
