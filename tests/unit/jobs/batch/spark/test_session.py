"""A session is never taken from another master than the one that was asked for."""

from types import SimpleNamespace

import pytest
from pyspark import SparkContext

from jobs.batch.spark import session
from scoretrail.config import SparkSettings
from scoretrail.errors import ConfigurationError


@pytest.mark.parametrize("here", ["local[2]", "spark://there:7077"])
def test_a_cluster_is_refused_while_this_process_has_a_session_elsewhere(
    here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", SimpleNamespace(master=here))
    with pytest.raises(ConfigurationError, match="on another master") as caught:
        session.start(SparkSettings(master="spark://127.0.0.1:7077"), "test")
    assert caught.value.where == here


@pytest.mark.parametrize(
    ("here", "asked"), [("spark://there:7077", "local[*]"), ("local[2]", "local[*]"), ("spark://a:1", "spark://a:1")]
)
def test_the_session_at_hand_is_used_where_it_fits(here: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", SimpleNamespace(master=here))
    session._check_own_session(asked)
