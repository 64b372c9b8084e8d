"""Model health for real: pages that runs write, a real archive, a real Prometheus, and the page in a real browser."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from jobs import cli
from jobs.health.gathering import Subject, gather
from jobs.health.page import render
from jobs.health.prometheus import Prometheus, alerts, flows
from jobs.health.report import report
from jobs.services.port import free_port
from jobs.stream.operation.metrics import Metrics
from scoretrail import digest
from scoretrail.config import Settings
from scoretrail.errors import RetryLaterError
from scoretrail.model.bundle import open_bundle
from scoretrail.model.manifest import FEATURES, GOLDEN, MODEL
from scoretrail.monitor.learning import of_table
from tests.factory import example
from tests.factory.answering import answering
from tests.factory.inspector import Inspector, inspector
from tests.factory.registered import open_registry
from tests.factory.watched import readings
from tests.factory.windowed import LATER, Windowed
from tests.factory.workshop import InlineEngine, Workshop, records, with_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.health.fact import Alert, Flow
    from tests.factory.registered import Registered

NAME = "watched"
PROMETHEUS_LIMIT_S = 60


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, registered_linear: Registered) -> Path:
    """One model with a baseline of all parcels, champion and challenger alike."""
    folder = tmp_path_factory.mktemp("watched")
    resolved = registered_linear.resolved
    files = {key: resolved.files[key] for key in (MODEL, FEATURES, GOLDEN)}
    files |= of_table(example.parcels())(open_bundle(resolved.files))
    hashes = {key: digest.of_bytes(data) for key, data in files.items()}
    manifest = registered_linear.manifest.model_copy(update={"name": NAME, "version": "1.0.0", "files": hashes})
    opened = open_registry(folder)
    opened.publish(manifest, files)
    opened.move_alias(NAME, "champion", "1.0.0")
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, registry: Path) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shop"), registry, InlineEngine())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def week(shop: Workshop) -> dict[str, tuple[int, str]]:
    """Run the commands of a week, and return the exit code of each and the page that it left."""
    patch = pytest.MonkeyPatch()
    patch.setattr("jobs.batch.spark.engine.SparkEngine", lambda *_: InlineEngine())

    def run(*words: str) -> tuple[int, str]:
        place = Path(shop.output, "_scoretrail", "health", f"{NAME}.html")
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        code = cli.run([*words, "--set", f"registry.uri={shop.registry}", "--quiet"])
        after = place.read_text(encoding="utf-8")
        assert after != before, "the page was not written again"
        return code, after

    def score(day: str, *more: str) -> tuple[int, str]:
        model = f"models:/{NAME}@champion"
        place = ("--input", str(shop.input), "--output", shop.output)
        return run("batch", "score", "--model", model, *place, "--slice", f"ds={day}", *more)

    farther = pa.array(np.asarray(records(3000, 3000)["distance_km"], np.float32) + np.float32(200))
    shop.write("ds=1/a.parquet", records(3000))
    shop.write("ds=2/a.parquet", records(3000, 3000, distance_km=farther))
    shop.write("ds=3/a.parquet", with_values("weight_kg", dict.fromkeys(range(30), -1.0), 100))
    found = {"calm": score("1"), "held": score("2", "--on-drift", "hold", "--run-id", "second")}
    found["refused"] = score("3")
    found["released"] = run("runs", "release", "second", "--table", shop.output)
    patch.undo()
    return found


def test_each_run_leaves_the_page_as_things_stand(week: dict[str, tuple[int, str]], shop: Workshop) -> None:
    assert {name: code for name, (code, _) in week.items()} == {"calm": 0, "held": 3, "refused": 70, "released": 0}
    pages = {name: text for name, (_, text) in week.items()}
    assert "All is well:" in pages["calm"]
    release = f"scoretrail runs release second --table {shop.output}"
    held = "run second is held: its scores are not published"
    assert [name for name, text in pages.items() if release in text and held in text] == ["held", "refused"]
    assert [name for name, text in pages.items() if "was refused: a limit was exceeded" in text] == [
        "refused",
        "released",
    ]
    assert "champion 1.0.0 drifted from its baseline: data" in pages["held"]


def test_a_run_goes_on_where_its_page_cannot_be_written(
    shop: Workshop,
    week: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("jobs.batch.spark.engine.SparkEngine", lambda *_: InlineEngine())
    monkeypatch.setattr("jobs.health.keeping.render", lambda *_: 1 / 0)
    words = ["--model", f"models:/{NAME}@champion", "--input", str(shop.input), "--output", str(tmp_path / "scores")]
    code = cli.run(["batch", "score", *words, "--slice", "ds=1", "--set", f"registry.uri={shop.registry}"])
    told = capfd.readouterr()
    assert (code, "published" in told.out) == (0, True)
    assert "health_page_failed" in told.err
    assert "model health:" not in told.err


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    with inspector(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def page(week: dict[str, tuple[int, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "page.html"
    place.write_text(week["refused"][1], encoding="utf-8")
    return place


def test_a_browser_asks_for_the_page_alone_and_has_nothing_to_complain_of(browser: Inspector, page: Path) -> None:
    browser.open(page, 1280)
    assert browser.fetched() == [page.as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("document.compatMode") == "CSS1Compat"


def test_a_page_that_asks_others_or_runs_something_is_seen(browser: Inspector, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    text = page.read_text(encoding="utf-8")
    bad.write_text(text.replace("</main>", "<script>nothing.at.all()</script><img src='http://elsewhere.example/a'>"))
    browser.open(bad, 1280)
    said = str(browser.complaints())
    assert "violates the following Content Security Policy directive" in said, "the page itself forbids it"
    bad.write_text(bad.read_text().replace("Content-Security-Policy", "nothing"))
    browser.open(bad, 1280)
    assert "nothing is not defined" in str(browser.complaints())
    assert "http://elsewhere.example/a" in browser.fetched()


def test_a_screen_reader_is_told_everything(browser: Inspector, page: Path) -> None:
    browser.open(page, 1280)
    told = browser.told()
    roles = {role for role, _, _ in told}
    assert {"banner", "main", "contentinfo", "navigation", "heading", "table", "rowheader", "columnheader"} <= roles
    headings = [name for role, name, _ in told if role == "heading"]
    assert headings[:2] == [NAME, "What is wrong"]
    assert any("run second is held" in name for name in headings)
    regions = [name for role, name, _ in told if role == "region"]
    assert {"What is wrong", "Batch runs", "Drift", "Deployments"} <= set(regions)
    tables = [name for role, name, _ in told if role == "table"]
    assert tables
    assert all(tables), "every table is called by its caption"
    images = [(name, description) for role, name, description in told if role in {"image", "img"}]
    assert len(images) == browser.evaluate("document.querySelectorAll('svg').length") > 5
    assert all(name and description for name, description in images)
    (distance,) = [description for name, description in images if name.startswith("distance_km, ")]
    assert "2 values from" in distance
    assert "1 times drift." in distance
    # A sign is no word: readers are told the words beside it.
    assert not [name for role, name, _ in told if role == "StaticText" and name.strip() in {"✓", "✗", "▲", "○"}]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_window_in_light_and_in_dark(browser: Inspector, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(16, 19, 22)" if dark else "rgb(246, 247, 249)")
    assert browser.picture().startswith(b"\x89PNG")


def test_the_archive_of_a_stream(tmp_path: Path) -> None:
    stage = Windowed(tmp_path)
    stage.registry.move_alias("readings", "champion", "1.0.0")
    moved = pa.array(np.random.default_rng(5).normal(1.5, 1, 1400), pa.float32())
    stage.score(readings(1400, 3, days=7))
    stage.judged()
    stage.score(readings(1400, 4, days=7, x=moved))  # of the same days, so that windows get a second revision
    assert stage.judged()
    subject = Subject(model="readings", archive=stage.archive.uri)
    found = gather(subject, stage.registry, Settings(), LATER)
    assert [(one.name, one.state) for one in found.sources if one.name == "archive"] == [("archive", "read")]
    assert [(one.day, one.rows, one.counted) for one in found.volumes][:1] == [("2013-12-02", 400, 400)]
    assert (len(found.volumes), sum(one.rows for one in found.volumes)) == (7, 2800)
    (series,) = found.series
    assert (series.source, series.role, series.level) == ("stream", "champion", "drift")
    assert (len(series.points), series.points[-1]) == (6, "2013-12-07"), "the newest day is not over"
    assert found.archived_at is not None
    text = render(report(found))
    assert "Archived predictions by day of event time" in text
    assert "champion 1.0.0 drifted from its baseline" in text
    for record in Path(f"{stage.archive.uri}_windows", "_scoretrail", "verdicts").glob("20131207*"):
        record.write_text("{")
    again = gather(subject, stage.registry, Settings(), LATER)
    assert [one.state for one in again.sources if one.name == "archive"] == ["failed"]
    assert (len(again.series[0].points), again.volumes) == (5, found.volumes)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus that scrapes one worker, and has one alert that fires."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    worker = Metrics()
    info = worker._of["model_info"]
    info.labels(*(_LABELS.get(name, "") for name in info._labelnames)).set(1)
    worker._of["partitions"].set(3)
    worker._of["lag_records"].labels("events", 0).set(70)
    worker._of["lag_records"].labels("events", 1).set(50)
    worker._of["lag_seconds"].set(2.5)

    def scraped(*_: str) -> bytes:
        worker._of["events_total"].inc(100)
        worker._of["dead_letters_total"].inc(1)
        for _event in range(100):
            worker._of["latency_seconds"].observe(0.04)
        return worker.text()

    rule: dict[str, Any] = {"alert": "ScoretrailStreamLag", "expr": "scoretrail_stream_lag_seconds > 2"}
    rule |= {"labels": {"severity": "page", "model": NAME, "role": "champion"}, "annotations": {"summary": "behind"}}
    with answering(scraped) as target:
        jobs = [{"job_name": "w", "static_configs": [{"targets": [target.removeprefix("http://")]}]}]
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
        settings = {"scrape_interval": "250ms", "scrape_timeout": "200ms", "evaluation_interval": "250ms"}
        made = {"global": settings, "rule_files": ["rules.yml"], "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(made))
        port = free_port()
        words = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        words += [f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()


_LABELS = {"model": NAME, "version": "1.0.0", "role": "champion", "bundle_sha256": "a" * 64}


def known(url: str) -> tuple[tuple[Flow, ...], tuple[Alert, ...]]:
    """Return what a Prometheus that has just started knows, once it knows all of it."""
    end = time.monotonic() + PROMETHEUS_LIMIT_S
    while True:
        with contextlib.suppress(RetryLaterError):
            found, open_ = flows(Prometheus(url), NAME), alerts(Prometheus(url), NAME)
            if open_ and found and None not in vars(found[0]).values():
                return found, open_
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_real_prometheus_is_asked(prometheus: str) -> None:
    found, open_ = known(prometheus)
    (champion,) = found
    assert (champion.role, champion.workers, champion.lag_records, champion.lag_s) == ("champion", 1, 120, 2.5)
    assert champion.dead_letter_ratio == pytest.approx(0.01, rel=0.01)
    assert champion.events_per_s is not None
    assert champion.events_per_s > 0
    assert champion.p95_s == pytest.approx(0.04875, rel=0.001), "within the bucket of 25 to 50 ms"
    assert [(one.name, one.state, one.severity, one.role) for one in open_] == [
        ("ScoretrailStreamLag", "firing", "page", "champion")
    ]
    assert open_[0].since is not None
    assert flows(Prometheus(prometheus), "another") == ()
    assert alerts(Prometheus(prometheus), "another") == ()
