from __future__ import annotations

import json

import pytest

from jobs.stream.message.template import Template, json_slot, text_slot
from scoretrail.digest import canonical_json


def test_slots_are_filled_row_by_row_in_canonical_order() -> None:
    template = Template({"z": json_slot("score"), "a": {"at": text_slot("at"), "100%": "%s"}})

    rows = template.fill({"at": ["x", "y"], "score": [1, "null"], "more": []})

    assert rows == [b'{"a":{"100%":"%s","at":"x"},"z":1}', b'{"a":{"100%":"%s","at":"y"},"z":null}']
    assert [canonical_json(json.loads(row)) for row in rows] == rows


def test_one_row_is_as_one_of_many() -> None:
    template = Template({"a": json_slot("x"), "b": text_slot("y")})

    assert template.fill_row({"y": "t", "x": 0.5}) == template.fill({"x": [0.5], "y": ["t"]})[0]


def test_a_slot_may_have_any_name_and_stand_twice() -> None:
    template = Template([json_slot('class "a"'), json_slot("ä:1"), json_slot('class "a"')])

    assert template.fill({'class "a"': [1], "ä:1": [2]}) == [b"[1,2,1]"]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Template([json_slot("a"), json_slot("b")]).fill({"a": [1, 2], "b": [1]})
