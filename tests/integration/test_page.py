"""Evidently's pages in a real browser that has no network: of a batch run, and of a span of a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.archive.reporting import SpanReport
from jobs.command.span import parse_span
from scoretrail.config import Settings
from tests.factory.browser import open_page
from tests.factory.watched import readings
from tests.factory.windowed import RETENTION_DAYS, Windowed


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a week in which ``x`` moved, so that the derived ``half`` did."""
    stage = Windowed(tmp_path_factory.mktemp("stage"))
    moved = pa.array(np.random.default_rng(5).normal(1.5, 1, 1400), pa.float32())
    stage.score(readings(1400, 3, days=7, x=moved))
    stage.windows.copy(RETENTION_DAYS)
    report = SpanReport(stage.archive.uri, stage.registry, Settings())
    judged = report.judge(*parse_span("2013-12-02..2013-12-09"), "champion", None)
    made, place = report.picture(judged.span)
    assert judged.verdict.level == "drift"
    assert Path(place).read_text(encoding="utf-8") == made.html
    return Path(place)


def test_the_page_of_a_span_opens_without_a_network(page: Path) -> None:
    opened = open_page(page)
    assert (opened.console, opened.fetched) == ((), ())
    text = page.read_text(encoding="utf-8")
    for name in ("half", "score", "confidence", "label", "decision"):
        assert f">{name}<" in opened.dom
    # Made by its scripts: the file itself has neither.
    assert "Wasserstein distance (normed)</" in opened.dom
    assert "Wasserstein distance (normed)</" not in text
    assert opened.dom.count("plotly-logomark") > text.count("plotly-logomark")


def test_a_page_that_fails_or_asks_others_is_seen(tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<body><script>nothing.at.all()</script>", encoding="utf-8")
    assert any("nothing is not defined" in line for line in open_page(broken).console)
    asking = tmp_path / "asking.html"
    asking.write_text("<body><script src='http://elsewhere.example/a.js'></script>", encoding="utf-8")
    assert "http://elsewhere.example/a.js" in open_page(asking).fetched
