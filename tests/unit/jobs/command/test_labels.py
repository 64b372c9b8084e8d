"""``scoretrail labels``: what is told and kept, the gate, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scoretrail.model.manifest import Metric
from tests.factory.labelled import HOUR, Truth, at, label, prediction
from tests.unit.jobs.command.conftest import Call

DAYS, ROWS = 14, 50
PROMISED = (Metric(name="roc_auc", value=0.8, low=0.78, high=0.82), Metric(name="brier", value=0.3, low=0.2, high=0.4))


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """Two weeks of scores that say nothing, of a model that promised much; THERE they say something."""
    found = Truth(tmp_path)
    found.register(metrics=PROMISED)
    random = np.random.default_rng(1)
    rows = [(f"p{i}", at(i // ROWS, i % ROWS / 3), float(random.uniform())) for i in range(DAYS * ROWS)]
    found.predict(prediction(key, score, when) for key, when, score in rows)
    found.arrive(
        label(key, str(int(random.uniform() < (score if i % 5 == 0 else 0.3))), when + HOUR, sent_at=when)
        | {"place": "THERE" if i % 5 == 0 else "HERE"}
        for i, (key, when, score) in enumerate(rows)
    )
    return found


def arguments(truth: Truth, *more: str) -> list[str]:
    outcomes = ["--outcomes", str(truth.outcomes), "--label", "came", "--known-at", "came_at"]
    tables = ["--predictions", truth.scored(), "--output", truth.output]
    return ["labels", "join", *tables, *outcomes, "--set", f"registry.uri={truth.folder / 'registry'}", *more]


def test_it_tells_the_verdict_and_why(call: Call, truth: Truth) -> None:
    answer = call(*arguments(truth, "--segment", "place", "--window", "14"))
    assert answer.code == 0
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert "verdict DRIFT" in lines
    assert "labelled 700 (100.0%)" in lines
    assert "label delay p50 1 h 0 min, p95 1 h 0 min, max 1 h 0 min" in lines
    (auc,) = (line for line in lines if line.startswith("roc auc"))
    assert auc.endswith("0.800 0.780 to 0.820 DRIFT")
    (brier,) = (line for line in lines if line.startswith("brier"))
    assert brier.endswith("0.200 to 0.400 ok")
    assert "parcel 1.0.0, champion: DRIFT, 2013-12-02 to 2013-12-15, 700 rows on 14 days" in lines
    assert [line.split()[0] for line in lines if line.startswith("2013-12")] == ["2013-12-02", "2013-12-09"]
    # The segment that ranks worst comes first.
    assert [line[:10] for line in lines if line.startswith("place ")] == ["place HERE", "place THER"]
    assert "14 of 14 tasks" in answer.err
    assert f"next: scoretrail labels report --output {truth.output}" in answer.err


def test_the_record_is_the_result_and_is_shown_again(call: Call, truth: Truth) -> None:
    joined = call(*arguments(truth, "--json", "--quiet"))
    (path,) = Path(truth.output).glob("_scoretrail/*/join.json")
    assert joined.object == json.loads(path.read_bytes())
    again = call("labels", "report", "--output", truth.output, "--json")
    assert again.object == joined.object
    shown = call("labels", "report", joined.object["join_id"], "--set", f"labels.table={truth.output}")
    assert (shown.code, "verdict" in shown.out) == (0, True)
    missing = call("labels", "report", "none", "--output", truth.output)
    assert (missing.code, "there is no join 'none'" in missing.err) == (65, True)


def test_the_gate_exits_with_3_after_all_was_published(call: Call, truth: Truth) -> None:
    answer = call(*arguments(truth, "--gate", "--json"))
    assert answer.code == 3
    assert "parcel 1.0.0, champion: roc_auc" in answer.err
    assert answer.object["level"] == "drift"
    assert len(truth.rows()) == DAYS * ROWS
    assert call(*arguments(truth, "--gate", "--set", "labels.minimum_rows=5000")).code == 0


def test_settings_say_where_and_what(call: Call, truth: Truth) -> None:
    words = [word for word in arguments(truth) if word not in ("--output", truth.output)]
    missing = call(*words)
    assert (missing.code, "which labelled table?" in missing.err) == (2, True)
    assert call("labels", "report").code == 2
    settings = ["labels.table=labelled", 'labels.segments=["place"]', "labels.cost_miss=9"]
    answer = call(*words, "--json", *(word for one in settings for word in ("--set", one)))
    assert answer.object["output"]["table"] == truth.output
    (rolling,) = (one for one in answer.object["performance"] if one["kind"] == "rolling")
    costs = {one["name"]: one["value"] for one in rolling["figures"]}
    assert costs["cost"] > 1
    assert {one["segment"]["column"] for one in answer.object["performance"] if one["segment"]} == {"place"}


def test_an_erased_entity_leaves_the_labelled_table_as_well(call: Call, truth: Truth) -> None:
    assert call(*arguments(truth)).code == 0
    tables = ("--set", f"batch.table={truth.scored()}", "--set", f"labels.table={truth.output}")
    answer = call("erase", "p7", "--reason", "ticket 12", "--vacuum", *tables, "--json")
    assert {one["table"]: one["rows"] for one in answer.object["tables"]} == {truth.scored(): 1, truth.output: 1}
    assert "p7" not in {row["parcel_id"] for row in truth.rows()}
