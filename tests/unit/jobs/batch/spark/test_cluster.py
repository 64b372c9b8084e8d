"""A master is asked whether it listens before Spark is started for it."""

import socket
from collections.abc import Iterator

import pytest

from jobs.batch.spark.cluster import check_master
from scoretrail.errors import EngineError


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_master_that_listens_is_good(listening: int) -> None:
    check_master(f"spark://127.0.0.1:{listening}")


def test_a_standby_that_listens_is_enough(listening: int, deaf: int) -> None:
    check_master(f"spark://127.0.0.1:{deaf},127.0.0.1:{listening}")


def test_every_master_that_does_not_listen_is_named(deaf: int) -> None:
    with pytest.raises(EngineError, match="does not answer") as caught:
        check_master(f"spark://127.0.0.1:{deaf},localhost:{deaf}")
    assert f"127.0.0.1:{deaf}: " in str(caught.value.got)
    assert f"localhost:{deaf}: " in str(caught.value.got)


@pytest.mark.parametrize("url", ["spark://127.0.0.1", "spark://127.0.0.1:many"])
def test_an_address_without_a_port_does_not_answer(url: str) -> None:
    with pytest.raises(EngineError, match="does not answer"):
        check_master(url)


@pytest.mark.parametrize("url", ["local[2]", "yarn", "k8s://https://nowhere.invalid:6443"])
def test_other_masters_are_left_to_spark(url: str) -> None:
    check_master(url)
