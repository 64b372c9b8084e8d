from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.batch.input.listing import InputFile, InputRoot, partition_values
from jobs.batch.input.probe import FileProbe, RowGroupRange
from jobs.batch.plan.plan import Method, Plan, Work, compare, make_work, pack
from jobs.batch.plan.scope import Scope
from scoretrail.trail.output import LiveFile
from scoretrail.trail.prediction import SCHEMA_VERSION

ROOT = InputRoot("/data", "/data")
METHOD = Method("d" * 64, None, ("ds",))


def input_file(path: str) -> InputFile:
    folder = path.rpartition("/")[0]
    return InputFile(path, 100, 1, folder, partition_values(path))


def probe(sha256: str = "a" * 64, *ranges: RowGroupRange) -> FileProbe:
    return FileProbe(sha256, 10, 100, 20, ranges)


def one_key(path: str = "ds=1/a.parquet", sha256: str = "a" * 64, method: Method = METHOD) -> str:
    [work] = make_work(ROOT, [(input_file(path), probe(sha256))], method, "m", "champion")
    return work.key


def test_a_work_key_holds_everything_that_may_change_what_comes_out() -> None:
    keys = {
        one_key(),
        one_key(path="ds=2/a.parquet"),
        one_key(path="ds=1/b.parquet"),
        one_key(sha256="b" * 64),
        one_key(method=replace(METHOD, score_digest="e" * 64)),
        one_key(method=replace(METHOD, where="x > 1")),
        one_key(method=replace(METHOD, partition_by=())),
    }
    assert len(keys) == 7
    assert one_key() == one_key()


def test_a_work_key_depends_on_the_version_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    before = one_key()
    monkeypatch.setattr("jobs.batch.plan.plan.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert one_key() != before


def test_ranges_have_keys_of_their_own() -> None:
    ranges = (RowGroupRange(0, 2, 0, 6, 4, 50, "b" * 64), RowGroupRange(2, 3, 6, 4, 50, 80, "c" * 64))
    work = make_work(ROOT, [(input_file("a.parquet"), probe("a" * 64, *ranges))], METHOD, "m", "champion")
    assert [(one.range, one.rows, one.read_bytes) for one in work] == [(ranges[0], 6, 46), (ranges[1], 4, 30)]
    assert len({one.key for one in work}) == 2
    assert {one.data_sha256 for one in work} == {"a" * 64}


def test_the_digest_of_a_plan_is_that_of_what_it_covers() -> None:
    works = make_work(ROOT, [(input_file(f"ds={i}/a.parquet"), probe()) for i in range(3)], METHOD, "m", "champion")
    scopes = {work.scope: Scope("/data", work.path, "m", "champion") for work in works}
    plan = compare(works, scopes, [], {})
    assert plan.digest == compare(tuple(reversed(works)), scopes, [], {}).digest
    assert plan.digest == compare(works, scopes, [live(works[0].key, works[0].scope)], {}).digest
    assert plan.digest != compare(works[:2], scopes, [], {}).digest


def live(key: str, scope: str = "s", name: str = "0", *, merged: bool = False) -> LiveFile:
    return LiveFile(f"{key}-{name}", scope, key[:16], "deadbeef", merged, 10, 100, {})


def work_of(key: str, scope: str = "s", size: int = 10, path: str = "") -> Work:
    return Work(key, scope, path or key, (), "a" * 64, size, 0, None, 1)


def key(letter: str) -> str:
    return letter * 64


SCOPES = {"s": Scope("/data", "", "m", "champion")}


def planned(letters: str, files: list[LiveFile], merged: dict[str, str] | None = None) -> Plan:
    keys = {path: frozenset(key(letter)[:16] for letter in held) for path, held in (merged or {}).items()}
    return compare(tuple(work_of(key(letter)) for letter in letters), SCOPES, files, keys)


def letters_of(keys: frozenset[str]) -> str:
    return "".join(sorted(one[0] for one in keys))


def test_what_is_live_is_skipped_and_what_is_not_planned_goes() -> None:
    plan = planned("ab", [live(key("a")), live(key("c"))])
    assert letters_of(plan.live) == "a"
    assert [work.key for work in plan.todo] == [key("b")]
    assert plan.removes == (live(key("c")),)


def test_files_of_other_scopes_are_not_looked_at() -> None:
    plan = planned("a", [live(key("a"), "other"), live(key("z"), "other"), live(key("y"), "third", merged=True)])
    assert (letters_of(plan.live), plan.removes) == ("", ())


def test_a_merged_file_stays_only_as_a_whole() -> None:
    merged = live("f" * 64, merged=True)
    whole = planned("abc", [merged], {merged.path: "ab"})
    assert (letters_of(whole.live), whole.removes) == ("ab", ())
    part = planned("ac", [merged], {merged.path: "ab"})
    assert (letters_of(part.live), part.removes) == ("", (merged,))
    assert [work.key[0] for work in part.todo] == ["a", "c"]


def test_a_key_that_loses_one_of_its_files_loses_all_of_them() -> None:
    """Of a key with several partition values one file may be merged while another is not."""
    merged, beside, further = live("f" * 64, merged=True), live(key("a"), name="1"), live(key("c"))
    plan = planned("ac", [merged, beside, further], {merged.path: "ab"})
    assert plan.removes == (merged, beside)
    assert (letters_of(plan.live), [work.key[0] for work in plan.todo]) == ("c", ["a"])


def test_the_loss_spreads_from_merged_file_to_merged_file() -> None:
    one, two, three = (live(letter * 64, merged=True) for letter in "123")
    plan = planned("bcdx", [one, two, three], {one.path: "ab", two.path: "bc", three.path: "x"})
    assert plan.removes == (one, two)
    assert letters_of(plan.live) == "x"


@given(
    planned_keys=st.sets(st.integers(0, 15)),
    files=st.lists(st.sets(st.integers(0, 15), min_size=1, max_size=4), max_size=8),
)
def test_afterwards_every_planned_key_is_there_once_and_nothing_else(
    planned_keys: set[int], files: list[set[int]]
) -> None:
    works = tuple(work_of(f"{number:064x}"[::-1]) for number in sorted(planned_keys))
    names = {number: f"{number:064x}"[::-1] for number in range(16)}
    merged = [live(f"{i:x}" * 64, name=str(i), merged=True) for i in range(len(files))]
    held = {file.path: frozenset(names[n][:16] for n in keys) for file, keys in zip(merged, files, strict=True)}
    plan = compare(works, SCOPES, merged, held)
    stays = [file for file in merged if file not in plan.removes]
    live_keys = {one for file in stays for one in held[file.path]}
    scored = {work.key[:16] for work in plan.todo}
    assert live_keys | scored == {names[number][:16] for number in planned_keys}
    assert not live_keys & scored
    assert live_keys == {one[:16] for one in plan.live}
    # A file that need not go stays: all of its keys are planned and none lies in one that goes.
    going = {one for file in plan.removes for one in held[file.path]}
    assert all(held[file.path] & going for file in plan.removes)


@given(
    sizes=st.lists(st.integers(0, 50), max_size=60),
    tasks=st.integers(1, 8),
    split_bytes=st.integers(1, 100),
    pack_files=st.integers(1, 10),
)
def test_packs_hold_every_piece_once_within_the_limits(
    sizes: list[int], tasks: int, split_bytes: int, pack_files: int
) -> None:
    works = [work_of(f"{i:064x}", size=size, path=f"{i:03d}") for i, size in enumerate(sizes)]
    packs = pack(works, tasks=tasks, split_bytes=split_bytes, pack_files=pack_files)
    assert sorted(work.path for one in packs for work in one) == [work.path for work in works]
    for one in packs:
        assert 1 <= len(one) <= pack_files
        assert len(one) == 1 or sum(work.read_bytes for work in one) <= split_bytes
    volumes = [sum(work.read_bytes for work in one) for one in packs]
    assert volumes == sorted(volumes, reverse=True)


def test_small_files_are_packed_and_large_ones_are_not() -> None:
    works = [work_of(f"{i:064x}", size=1, path=f"{i:03d}") for i in range(80)] + [work_of("f" * 64, size=100, path="z")]
    packs = pack(works, tasks=2, split_bytes=1000, pack_files=1000)
    assert [len(one) for one in packs[:1]] == [1]
    assert len(packs) < 10
