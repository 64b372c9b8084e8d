"""The rules in Prometheus' own hands, and one alert on its whole way: textfile, Prometheus, Alertmanager, receiver."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.metrics.metric import Subject
from jobs.metrics.textfile import Textfiles
from jobs.services.port import free_port
from jobs.stream.operation.metrics import Metrics
from scoretrail.config import MetricsSettings
from tests.factory.prometheus import Station, call, program, running, station, until
from tests.factory.run_record import join_of_labels, scoring_run, verdict
from tests.rules.source import ROOT

OPS = ROOT / "ops"
ALERTMANAGER = OPS / "alertmanager" / "alertmanager.yml"
TESTS = sorted((OPS / "prometheus" / "tests").glob("*.yml"))
SETTLED_S = 3.0
"""Three times the interval at which the alert's group is looked at: a second notification would have come."""


@pytest.mark.parametrize("name", ["prometheus.yml", "compose.yml"])
def test_prometheus_takes_the_configuration_and_the_rules(name: str) -> None:
    checked = call("promtool", "check", "config", OPS / "prometheus" / name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rules found" in checked.stdout


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_on_what_it_is_for_and_on_nothing_else(path: Path) -> None:
    tried = call("promtool", "test", "rules", path)
    assert tried.returncode == 0, tried.stdout + tried.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A condition that never holds, one that holds too soon, another text.
        ("coverage_ratio) < 0.8", "coverage_ratio) < 0.1"),
        ("confirmed_columns) > 0", "confirmed_columns) >= 0"),
        ('summary: "Labels of', 'summary: "Label of'),
    ],
)
def test_a_rule_that_is_changed_fails_its_examples(tmp_path: Path, before: str, after: str) -> None:
    shutil.copytree(OPS / "prometheus", tmp_path / "prometheus")
    rules = tmp_path / "prometheus" / "rules" / "quality.yml"
    text = rules.read_text(encoding="utf-8")
    assert before in text
    rules.write_text(text.replace(before, after), encoding="utf-8")
    assert call("promtool", "test", "rules", tmp_path / "prometheus" / "tests" / "quality.yml").returncode == 1


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("owner=flights severity=page role=champion", "flights-pages"),
        ("owner=flights severity=ticket role=champion", "flights-tickets"),
        ("owner=flights severity=page role=challenger", "flights-tickets"),
        ("owner=somebody severity=page role=champion", "operations-pages"),
        ("owner=somebody severity=ticket role=champion", "operations-tickets"),
        ("owner=flights severity=info", "nobody"),
        ("alertname=ScoretrailWatchdog owner=operations severity=none", "dead-mans-switch"),
    ],
)
def test_an_alert_goes_to_its_owner(labels: str, receiver: str) -> None:
    routed = call("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels.split())
    assert routed.stdout.split() == [receiver], routed.stderr


def test_alertmanager_takes_its_configuration() -> None:
    checked = call("amtool", "check-config", ALERTMANAGER)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_is_told_is_what_prometheus_reads_and_named_as_it_asks_for(tmp_path: Path) -> None:
    textfiles = Textfiles(MetricsSettings(textfile_folder=str(tmp_path)))
    textfiles.tell_run(scoring_run(), "flights", verdict())
    textfiles.tell_labels(join_of_labels(), output="s3://lake/labelled", owners={"flight-delay": "flights"})
    textfiles.tell_verification(5, 0, 2.0, Subject("flight-delay", "champion", "predictions", "flights"))
    told = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert len(told) == 5
    for text in (*told, Metrics({}, 1_000).text()):
        checked = subprocess.run(
            [program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, b"")


# --- the whole way ----------------------------------------------------------------------------------------------------


def quick_rules(folder: Path) -> Path:
    """Return the rules as they are, but for how long a condition must hold."""
    for path in (OPS / "prometheus" / "rules").glob("*.yml"):
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in loaded["groups"]:
            group["interval"] = "500ms"
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / path.name).write_text(yaml.safe_dump(loaded), encoding="utf-8")
    return folder


def quick_alertmanager(file: Path, port: int) -> None:
    """Write the configuration as it is, but for how long notifications wait, and for where they go."""
    text = ALERTMANAGER.read_text(encoding="utf-8").replace("127.0.0.1:9095", f"127.0.0.1:{port}")
    text = re.sub(r"group_wait: \w+", "group_wait: 500ms", text)
    file.write_text(re.sub(r"group_interval: \w+", "group_interval: 1s", text), encoding="utf-8")


def prometheus_settings(rules: Path, exporter: int, alertmanager: int) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(rules / "*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}],
    }


@pytest.fixture
def exporter(tmp_path: Path) -> Any:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    with station(folder) as found:
        yield found


def test_a_refused_run_reaches_its_owner_once(exporter: Station, tmp_path: Path) -> None:
    textfiles = Textfiles(MetricsSettings(textfile_folder=str(exporter.folder), owners={"flight-delay": "flights"}))
    well = scoring_run("published", model="flight-delay-live", rows={"in": 100, "scored": 100, "rejected": 0})
    textfiles.tell_run(well, "others")
    textfiles.tell_run(scoring_run("refused"), "whoever the card names")
    rules = tmp_path / "rules"
    rules.mkdir()
    quick_rules(rules)
    quick_alertmanager(tmp_path / "alertmanager.yml", exporter.port)
    alertmanager, prometheus = free_port(), free_port()
    settings = prometheus_settings(rules, exporter.port, alertmanager)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with (
        running(
            "prometheus-alertmanager",
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
            ready=f"http://127.0.0.1:{alertmanager}/-/ready",
            log=tmp_path / "alertmanager.log",
        ),
        running(
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
            # What fires before Alertmanager is found is lost; and to send it often shows that it is delivered once.
            "--rules.alert.resend-delay=1s",
            ready=f"http://127.0.0.1:{prometheus}/-/ready",
            log=tmp_path / "prometheus.log",
        ),
    ):
        until(lambda: bool(exporter.alerts("/flights/page")), "no alert came")
        until(lambda: bool(exporter.alerts("/watchdog")), "the watchdog is silent")
        time.sleep(SETTLED_S)
    (alert,) = exporter.alerts("/flights/page")
    assert alert["labels"] == {
        "alertname": "ScoretrailBatchRefused",
        "model": "flight-delay",
        "role": "champion",
        "output": "s3://lake/scores",
        "owner": "flights",
        "severity": "page",
    }
    assert alert["annotations"]["summary"] == "A run of flight-delay (champion) was refused"
    assert alert["annotations"]["runbook_url"].endswith("/docs/runbooks/ScoretrailBatchRefused.md")
    (ticket,) = exporter.alerts("/flights/ticket")
    assert ticket["labels"]["alertname"] == "ScoretrailBatchRejects"
    paths = {path for path, _ in exporter.posted}
    assert paths == {"/flights/page", "/flights/ticket", "/watchdog"}, "what is well is left alone"
