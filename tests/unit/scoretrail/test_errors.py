from __future__ import annotations

import pickle

import pytest

from scoretrail import errors
from scoretrail.errors import Disposition, ExitCode, ScoretrailError, nearest

PARTS = {"where": "a.parquet", "expected": "float32", "got": "string", "fix": "cast it"}


def classes(cls: type[ScoretrailError] = ScoretrailError) -> list[type[ScoretrailError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in classes(child))]


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_all_parts(cls: type[ScoretrailError]) -> None:
    before = cls("a column is wrong", **PARTS)

    after = pickle.loads(pickle.dumps(before))  # noqa: S301  (our own bytes)

    assert type(after) is cls
    assert (after.what, after.args) == ("a column is wrong", ("a column is wrong",))
    assert {name: getattr(after, name) for name in PARTS} == PARTS
    assert str(after) == str(before)


def test_the_message_has_its_parts_in_order_and_leaves_out_the_empty_ones() -> None:
    assert str(ScoretrailError("it is wrong", **PARTS)).splitlines() == [
        "it is wrong",
        "  where: a.parquet",
        "  expected: float32",
        "  got: string",
        "  what to do: cast it",
    ]
    assert str(ScoretrailError("it is wrong", got="this")) == "it is wrong\n  got: this"


def test_an_error_can_be_given_a_more_exact_place() -> None:
    moved = errors.BundleError("it is wrong", **PARTS).at("b.parquet")

    assert type(moved) is errors.BundleError
    assert (moved.where, moved.expected, moved.got, moved.fix) == ("b.parquet", "float32", "string", "cast it")


@pytest.mark.parametrize(
    ("cls", "code"),
    [
        (errors.UsageError, 2),
        (errors.PredicateError, 2),
        (errors.GateError, 3),
        (errors.HeldError, 3),
        (errors.DifferenceError, 3),
        (errors.SchemaMismatchError, 65),
        (errors.BundleError, 65),
        (errors.RegistryError, 65),
        (errors.RejectLimitError, 70),
        (errors.RemovalLimitError, 70),
        (errors.ConflictError, 75),
        (errors.StorageError, 75),
        (errors.ConfigurationError, 78),
        (errors.DependencyError, 78),
        (errors.PlatformError, 78),
    ],
)
def test_the_class_decides_the_exit_code(cls: type[ScoretrailError], code: int) -> None:
    assert cls.exit_code == code


def test_no_error_says_that_all_went_well() -> None:
    assert [cls for cls in classes() if cls.exit_code == ExitCode.DONE] == []


def test_what_may_pass_is_retried_and_exits_with_75_and_nothing_else_does() -> None:
    retried = {cls for cls in classes() if cls.disposition is Disposition.RETRY}

    assert retried == set(classes(errors.RetryLaterError))
    assert retried == {cls for cls in classes() if cls.exit_code == ExitCode.RETRY}


@pytest.mark.parametrize(
    ("name", "found"), [("distence", "distance"), ("DISTANCE", "distance"), ("colour", None), ("", None)]
)
def test_the_nearest_name_is_found_if_one_comes_near(name: str, found: str | None) -> None:
    assert nearest(name, ["carrier", "distance", "height"]) == found


def test_there_is_no_nearest_name_among_none() -> None:
    assert nearest("distance", []) is None
