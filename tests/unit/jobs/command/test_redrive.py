"""``scoretrail stream redrive``: what a command line must say, before a broker is asked."""

import pytest

from tests.unit.jobs.command.conftest import Call


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--since", "yesterday", "--since is no time"),
        ("--until", "2013-12-02T05:00", "--until is no time"),
        ("--events", "flights/x", "no place of events"),
        ("--reason", "not_jason", "did you mean not_json?"),
    ],
)
def test_a_filter_that_is_none_is_refused(call: Call, option: str, value: str, message: str) -> None:
    answer = call("stream", "redrive", option, value)
    assert (answer.code, message in answer.err) == (2, True)
