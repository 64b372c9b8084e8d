import pytest

from scoretrail.errors import OutputTableError
from scoretrail.trail.output import attempt_of, file_name, live_file

SCOPE, KEY, ATTEMPT = "0" * 12, "ab" * 32, "deadbeef"


@pytest.mark.parametrize("kind", ["part", "merged"])
@pytest.mark.parametrize("folder", ["", "ds=1/", "ds=1/origin=a%20b/"])
def test_a_name_tells_what_it_was_made_of(kind: str, folder: str) -> None:
    path = folder + file_name(SCOPE, KEY, 12, ATTEMPT, kind=kind)
    file = live_file("/t", path, 5, 100, {"ds": 1, "ok": True, "none": None})
    assert (file.path, file.scope, file.key, file.attempt) == (path, SCOPE, KEY[:16], ATTEMPT)
    assert (file.is_merged, file.rows, file.size_bytes) == (kind == "merged", 5, 100)
    assert file.partition == {"ds": "1", "ok": "true", "none": None}
    assert attempt_of(path) == (None if kind == "merged" else (KEY[:16], ATTEMPT))


@pytest.mark.parametrize(
    "path",
    [
        "part-00000-1234.snappy.parquet",
        file_name(SCOPE, KEY, 0, ATTEMPT, kind="other"),
        file_name(SCOPE, KEY, 0, ATTEMPT).upper(),
        file_name(SCOPE, KEY, 0, ATTEMPT) + ".tmp",
        file_name(SCOPE[:-1], KEY, 0, ATTEMPT),
    ],
)
def test_other_names_are_not_ours(path: str) -> None:
    assert attempt_of(path) is None
    with pytest.raises(OutputTableError, match="did not write") as caught:
        live_file("/t", path, 5, 100, {})
    assert caught.value.where == f"/t/{path}"


def test_a_file_whose_rows_the_log_does_not_know_is_not_ours() -> None:
    with pytest.raises(OutputTableError):
        live_file("/t", file_name(SCOPE, KEY, 0, ATTEMPT), None, 100, {})
