"""Alerts, dashboard and objectives hold together: metrics and labels exist, an alert has a page and its examples."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.metrics import catalogue
from jobs.metrics.metric import SUBJECT, Metric
from jobs.stream.operation import metrics as worker
from tests.rules.promql import named
from tests.rules.source import ROOT

OPS = ROOT / "ops"
RULES = sorted((OPS / "prometheus" / "rules").glob("*.yml"))
TESTS = sorted((OPS / "prometheus" / "tests").glob("*.yml"))
DASHBOARDS = sorted((OPS / "grafana" / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"
SLO = ROOT / "docs" / "slo.md"

SEVERITIES = {"page", "ticket", "info", "none"}
HEADINGS = ["Meaning", "Impact", "Check", "Fix", "Roll back"]
#: What Prometheus gives every series of a target.
TARGET = {"job", "instance"}
#: Metrics that are not ours: Prometheus' own, and those that its client gives every process.
FOREIGN: Mapping[str, set[str]] = {
    "up": TARGET,
    "ALERTS": {"alertname", "alertstate", "severity", *SUBJECT},
    **{
        f"process_{name}": TARGET
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds")
    },
}
#: The first part of a recorded name says which labels are left.
LEVELS: Mapping[str, set[str]] = {
    "instance": {*TARGET, "model", "role", "owner"},
    "model_role": {"model", "role", "owner"},
    "model_role_stored": {"model", "role", "owner", "stored"},
    "output": set(SUBJECT),
    "slo": set(SUBJECT),
}
TEMPLATE = re.compile(r"\$labels\.(\w+)")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def rules() -> list[dict[str, Any]]:
    """Return every rule, alerts and recordings."""
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDS = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
NAMES = sorted({rule["alert"] for rule in ALERTS})


def exported() -> dict[str, set[str]]:
    """Return every series that there is, with its labels."""
    found = {**FOREIGN, **{name: LEVELS[name.partition(":")[0]] for name in RECORDS}}
    own: list[tuple[str, Metric, set[str]]] = [
        *((worker.PREFIX, one, TARGET) for one in worker.TABLE),
        *((catalogue.PREFIX, one, {*TARGET, *SUBJECT}) for one in catalogue.TABLE),
    ]
    for prefix, metric, more in own:
        labels = {*metric.labels, *more}
        name = f"{prefix}{metric.name}"
        if metric.kind == "histogram":
            found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    return found


EXPORTED = exported()


def unknown(expression: str) -> list[str]:
    """Return the metrics and labels of an expression that nobody exports."""
    found = named(expression)
    faults = [f"no metric {name}" for name in found.metrics if name not in EXPORTED]
    for name, labels in found.metrics.items():
        faults += [f"{name} has no label {label}" for label in sorted(labels - EXPORTED.get(name, labels))]
    return faults + [f"nothing has a label {label}" for label in sorted(found.grouped - available(expression))]


def available(expression: str) -> set[str]:
    """Return the labels that something in an expression has."""
    return {label for name in named(expression).metrics for label in EXPORTED.get(name, set())}


@cache
def examples() -> list[tuple[str, dict[str, Any]]]:
    """Return each alert that is tried, with what is tried of it."""
    return [
        (tried["alertname"], tried)
        for path in TESTS
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for tried in test.get("alert_rule_test", [])
    ]


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield title, expression and legend of every query of a dashboard."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], annotation["titleFormat"]


def flat(text: str) -> str:
    return " ".join(text.split())


# --- rules ------------------------------------------------------------------------------------------------------------


def test_there_are_rules_and_examples() -> None:
    assert len(NAMES) > 30
    assert len(RECORDS) > 30
    assert DASHBOARDS
    assert TESTS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_metrics_and_labels_that_are_exported(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == []
    texts = " ".join(rule.get("annotations", {}).values())
    assert set(TEMPLATE.findall(texts)) - available(rule["expr"]) == set()


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(scoretrail_stream_event_total[5m])", "no metric scoretrail_stream_event_total"),
        ('scoretrail_batch_status{state="held"} == 1', "scoretrail_batch_status has no label state"),
        ("sum by (modle) (scoretrail_batch_rows)", "nothing has a label modle"),
        ("up * on (hob, instance) group_left (model) scoretrail_stream_model_info", "nothing has a label hob"),
        ("model_role:scoretrail_stream_events:rate1m > 1", "no metric model_role:scoretrail_stream_events:rate1m"),
    ],
)
def test_what_nobody_exports_is_found(expression: str, fault: str) -> None:
    assert unknown(expression) == [fault]


def test_names_in_an_expression_are_told_from_words_strings_and_ranges() -> None:
    text = (
        """sum by (a, b) (rate(x_total{c="by (z)", d=~'e|f'}[5m] offset 1w)) / ignoring (g) y:z:rate5m > bool 1e3 # w"""
    )
    found = named(text)
    assert found.metrics == {"x_total": {"c", "d"}, "y:z:rate5m": set()}
    assert found.grouped == {"a", "b", "g"}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_bad_it_is_whose_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert "owner" in {*rule["labels"], *available(rule["expr"])}
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")
    assert not annotations["summary"].endswith(".")
    assert annotations["description"].endswith(".")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{'-'.join(rule['labels'].values())}")
def test_an_alert_is_tried_on_what_it_is_for(rule: dict[str, Any]) -> None:
    """With its very labels, an owner among them; promtool compares all of them, and the texts."""
    fired = [one["exp_labels"] for name, tried in examples() if name == rule["alert"] for one in tried["exp_alerts"]]
    ours = [labels for labels in fired if rule["labels"].items() <= labels.items()]
    assert ours, "no example"
    assert all(labels["owner"] for labels in ours)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"ScoretrailWatchdog"}))
def test_an_alert_is_tried_on_what_it_is_not_for(name: str) -> None:
    """The watchdog fires always, and has no such example."""
    assert any(not tried["exp_alerts"] for alert, tried in examples() if alert == name)


def test_every_example_is_of_an_alert() -> None:
    assert {name for name, _ in examples()} == set(NAMES)


def test_every_owner_in_the_settings_has_a_route() -> None:
    text = (OPS / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    owners = yaml.safe_load((ROOT / "conf" / "base.yaml").read_text(encoding="utf-8"))["metrics"]["owners"]
    assert owners
    assert [owner for owner in owners.values() if f"owner = {owner}" not in text] == []


# --- runbooks ---------------------------------------------------------------------------------------------------------


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_whoever_is_called_needs(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(body.strip() for body in parts[2::2])
    assert f"]({name}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_query_on_a_runbook_names_what_is_exported(path: Path) -> None:
    blocks = re.findall(r"^```promql\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [fault for block in blocks for query in block.split("\n\n") for fault in unknown(query)] == []


# --- objectives -------------------------------------------------------------------------------------------------------


def test_the_page_of_objectives_has_the_queries_that_are_recorded() -> None:
    text = SLO.read_text(encoding="utf-8")
    shown = {
        name: flat(query)
        for name, query in re.findall(r"`(slo:[\w:]+)`.*?^```promql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    }
    assert shown == {name: flat(query) for name, query in RECORDS.items() if name.startswith("slo:")}


# --- dashboard --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return loaded


def dashboard_faults(dashboard: dict[str, Any]) -> list[str]:
    """Return what is wrong with a dashboard."""
    faults = [f"{title}: {fault}" for title, query, _ in queries(dashboard) for fault in unknown(query)]
    for title, query, legend in queries(dashboard):
        faults += [f"{title}: legend {one}" for one in LEGEND.findall(legend) if one not in available(query)]
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    faults += ["ids are not unique"] if len(set(ids)) != len(ids) else []
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        faults += [f"{panel['title']}: lies on another"] if own & cells or at["x"] + at["w"] > 24 else []
        cells |= own
        if panel["type"] == "row":
            continue
        faults += [] if panel["fieldConfig"]["defaults"].get("unit") else [f"{panel['title']}: no unit"]
        faults += [] if panel["targets"] else [f"{panel['title']}: no query"]
        used = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        faults += (
            [f"{panel['title']}: another data source"] if any(one["uid"] != "${datasource}" for one in used) else []
        )
        refs = [target["refId"] for target in panel["targets"]]
        faults += [f"{panel['title']}: refIds"] if len(set(refs)) != len(refs) else []
    return faults


def test_a_dashboard_is_as_it_must_be(dashboard: dict[str, Any]) -> None:
    assert dashboard_faults(dashboard) == []
    assert {"uid", "title", "schemaVersion", "time", "refresh"} <= dashboard.keys()
    assert {one["name"] for one in dashboard["templating"]["list"]} == {"datasource", "model", "role"}


def test_the_dashboard_shows_what_was_asked_for(dashboard: dict[str, Any]) -> None:
    titles = {panel["title"] for panel in dashboard["panels"]}
    asked = {"Traffic", "Latency", "Errors", "Version mix", "Nulls", "Drift over time", "Rolling AUC with its interval"}
    assert titles >= asked | {"Rows of the last run", "Alerts"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda panel: panel["targets"][0].update(expr="scoretrail_no_such_metric"), "no metric scoretrail_no_such"),
        (lambda panel: panel["targets"][0].update(legendFormat="{{colour}}"), "legend colour"),
        (lambda panel: panel.update(id=1), "ids are not unique"),
        (lambda panel: panel["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda panel: panel["gridPos"].update(x=20, w=8), "lies on another"),
    ],
)
def test_a_fault_of_a_dashboard_is_found(dashboard: dict[str, Any], change: Any, fault: str) -> None:
    change(next(panel for panel in dashboard["panels"] if panel["title"] == "Traffic"))
    assert any(fault in found for found in dashboard_faults(dashboard))


def test_grafana_is_told_where_its_dashboards_and_its_data_are() -> None:
    folder = OPS / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"][0]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    provider = yaml.safe_load((folder / "dashboards" / "scoretrail.yml").read_text(encoding="utf-8"))["providers"][0]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards")
