"""Fixtures of registered examples, each registered once per session; integration tests may use them as well.

What a fixture returns is shared: do not write into its registry, copy the folder ``root`` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scoretrail.model.bundle import Bundle, open_bundle
from tests.factory import example
from tests.factory.example import Example
from tests.factory.registered import QUICK, Registered, register_example
from tests.factory.s3_server import S3Server, running

Register = Callable[[Example], Registered]


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Return a function that registers an example, or returns it as it was registered before."""
    known: dict[str, Registered] = {}

    def once(chosen: Example) -> Registered:
        if chosen.name not in known:
            known[chosen.name] = register_example(chosen, tmp_path_factory.mktemp(chosen.name), engines=QUICK)
        return known[chosen.name]

    return once


@pytest.fixture(scope="session")
def registered_linear(registered: Register) -> Registered:
    """A logistic regression on one float32 matrix; scored in blocks."""
    return registered(example.linear())


@pytest.fixture(scope="session")
def registered_trees(registered: Register) -> Registered:
    """Gradient-boosted trees on one float32 matrix; scored at any size, by the tree kernel."""
    return registered(example.trees())


@pytest.fixture(scope="session")
def registered_pipeline(registered: Register) -> Registered:
    """A pipeline with text, int64 and float32 inputs."""
    return registered(example.one_hot_pipeline())


@pytest.fixture(scope="session")
def linear_bundle(registered_linear: Registered) -> Bundle:
    """The logistic regression, loaded."""
    return open_bundle(registered_linear.resolved.files)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server of the S3 protocol; mark the tests that ask for it with ``s3``."""
    with running() as server:
        yield server
