"""Slots and the names that follow from them."""

from __future__ import annotations

import pytest

from jobs.stream.slot import member_name, slot_of
from scoretrail.errors import UsageError


@pytest.mark.parametrize(("host", "slot"), [("scorer-0", "0"), ("late-scorer-12", "12"), ("a.b-007", "7")])
def test_the_number_of_a_pod_is_its_slot(host: str, slot: str) -> None:
    assert slot_of(None, host) == slot


@pytest.mark.parametrize("host", ["scorer", "scorer-", "-1", "scorer-x1", "scorer-1.example.net", "7"])
def test_a_host_without_a_number_needs_a_slot(host: str) -> None:
    with pytest.raises(UsageError, match="--slot 0"):
        slot_of(None, host)


@pytest.mark.parametrize("slot", ["", "a b", "a/b", "x" * 61])
def test_a_slot_that_cannot_be_a_name_is_refused(slot: str) -> None:
    with pytest.raises(UsageError, match="cannot be a slot"):
        slot_of(slot, "scorer-0")


def test_what_is_asked_for_wins() -> None:
    assert slot_of("blue", "scorer-0") == "blue"


@pytest.mark.parametrize(("app", "group"), [("a b", "g"), ("a", ""), ("a", "g/h")])
def test_a_part_of_a_name_that_is_none_is_refused(app: str, group: str) -> None:
    with pytest.raises(UsageError):
        member_name(app, group, "0")
