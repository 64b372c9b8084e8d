import pytest

from jobs.batch.output.ledger import Ledger, LedgerEntry
from scoretrail.errors import TrailError
from scoretrail.storage import Storage
from scoretrail.trail.output import LiveFile, file_name

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def part(key: str, attempt: str = "11111111") -> LiveFile:
    path = f"ds=1/{file_name('0' * 12, key, 0, attempt)}"
    return LiveFile(path, "0" * 12, key[:16], attempt, is_merged=False, rows=1, size_bytes=1, partition={})


def merged(key: str, attempt: str = "99999999") -> LiveFile:
    path = f"ds=1/{file_name('0' * 12, key, 0, attempt, kind='merged')}"
    return LiveFile(path, "0" * 12, key[:16], attempt, is_merged=True, rows=1, size_bytes=1, partition={})


def entry(file: LiveFile, replaced: list[LiveFile], *keys: str) -> LedgerEntry:
    return LedgerEntry(
        file.path, tuple(sorted(key[:16] for key in keys)), tuple(one.path for one in replaced), "d" * 64, 2
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Storage("memory://"))


def test_an_entry_is_read_as_it_was_written(ledger: Ledger) -> None:
    written = entry(merged("f" * 64), [part(A), part(B)], A, B)
    ledger.write(written)
    assert ledger.read(written.path) == written
    assert ledger.entries() == [written]
    assert ledger.keys_of([written.path]) == {written.path: frozenset({A[:16], B[:16]})}


def test_a_merged_file_without_an_entry_is_told(ledger: Ledger) -> None:
    with pytest.raises(TrailError, match="no ledger entry") as caught:
        ledger.keys_of([merged("f" * 64).path])
    assert str(caught.value.where).endswith(".parquet.json")


def test_the_keys_of_files_merged_or_not(ledger: Ledger) -> None:
    one = merged("f" * 64)
    ledger.write(entry(one, [part(A), part(B)], A, B))
    assert ledger.keys_in([one, part(C)]) == {A[:16], B[:16], C[:16]}
    assert ledger.keys_in([]) == frozenset()


def test_the_attempts_whose_rows_files_hold(ledger: Ledger) -> None:
    one, two = merged("e" * 64), merged("f" * 64)
    ledger.write(entry(one, [part(A, "aaaaaaaa"), part(B, "bbbbbbbb")], A, B))
    ledger.write(entry(two, [one, part(C, "cccccccc")], A, B, C))
    assert ledger.attempts_in([part(A, "12345678")]) == {(A[:16], "12345678")}
    assert ledger.attempts_in([two]) == {(A[:16], "aaaaaaaa"), (B[:16], "bbbbbbbb"), (C[:16], "cccccccc")}


def test_keys_that_were_left_out_of_a_merge_are_not_in_it(ledger: Ledger) -> None:
    one, two = merged("e" * 64), merged("f" * 64)
    ledger.write(entry(one, [part(A, "aaaaaaaa"), part(B, "bbbbbbbb")], A, B))
    ledger.write(entry(two, [one], B))
    assert ledger.attempts_in([two]) == {(B[:16], "bbbbbbbb")}
