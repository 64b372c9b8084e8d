"""Canonical JSON: one text for one value, and back to the same value."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scoretrail import digest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)


def turned(value: Any) -> Any:
    """Return the value with its keys in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert digest.canonical_json(turned(value)) == digest.canonical_json(value)


@given(VALUES)
def test_the_text_reads_back_and_is_written_the_same_again(value: Any) -> None:
    text = digest.canonical_json(value)

    again = json.loads(text)

    assert again == value
    assert digest.canonical_json(again) == text


@given(VALUES, VALUES)
def test_two_values_share_a_digest_only_if_they_share_the_text(one: Any, other: Any) -> None:
    assert (digest.of_json(one) == digest.of_json(other)) == (
        digest.canonical_json(one) == digest.canonical_json(other)
    )
