"""``scoretrail stream archive`` and ``reproduce``: what a command line must say, before a broker is asked."""

from pathlib import Path

from tests.unit.jobs.command.conftest import Call


def test_a_model_and_a_table_must_be_named(call: Call) -> None:
    answer = call("stream", "archive", "--table", "archive")
    assert (answer.code, "whose predictions?" in answer.err) == (2, True)
    answer = call("stream", "archive", "--model", "models:/m@champion")
    assert (answer.code, "which archive?" in answer.err) == (2, True)
    answer = call("stream", "reproduce")
    assert (answer.code, "which archive?" in answer.err) == (2, True)


def test_what_is_no_archive_is_said(call: Call, tmp_path: Path) -> None:
    answer = call("stream", "reproduce", "--table", str(tmp_path / "none"))
    assert (answer.code, "there is no table here" in answer.err) == (65, True)
