from __future__ import annotations

import pyarrow as pa

from scoretrail.feature import FeatureView, Request
from scoretrail.feature.source import load_view
from scoretrail.model import card
from scoretrail.model.manifest import Abstention, Card, Guards, Metric, Output, Training
from tests.factory.bare import BARE_FILES, bare_manifest
from tests.factory.trip import FEATURES


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines below each heading, without the empty ones."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            found[line.lstrip("# ")] = []
        elif line:
            found[next(reversed(found))].append(line)
    return found


def test_the_card_says_what_people_must_know() -> None:
    shown = sections(
        card.render(bare_manifest(training=Training(rows=10, seed=0, parameters={"C": 0.1}, code_commit="abc")))
    )

    assert shown["parcel-linear 1.0.0"] == [
        "Owner: parcel team · licence: Apache-2.0 · registered 2013-12-01T12:00:00.000000Z"
    ]
    assert shown["Intended use"] == ["to warn of a late parcel"]
    assert shown["Limitations"] == ["made-up parcels"]
    assert shown["Changes since the previous version"] == ["first version"]
    assert shown["Training"] == [
        "- window: not stated to not stated",
        "- rows: 10",
        "- data sha256: `not stated`",
        "- seed: 0",
        "- parameters: `{'C': 0.1}`",
        "- code commit: `abc`",
        "- lock sha256: `not stated`",
    ]
    assert shown["Metrics"][2:] == ["| auc | 0.7000 | 0.6800 to 0.7200 | November |"]


def test_every_input_is_a_row_in_the_order_of_the_model() -> None:
    assert sections(card.render(bare_manifest()))["Inputs"] == [
        "| input | type | missing | range or categories | meaning |",
        "|---|---|---|---|---|",
        "| weight_kg | float | refused | 0 to 1000 | with its wrapping |",
        "| distance_km | float | refused | 0 to ∞ |  |",
        "| height_m | float | 1.0 | all finite values |  |",
        "| density | float | refused | all finite values |  |",
    ]


def test_categories_and_allowed_nulls_are_shown() -> None:
    view = FeatureView(
        name="v",
        entity_key="k",
        event_time="t",
        request=[
            Request("letter", pa.string(), categories=("a", "b")),
            Request("number", pa.float32(), nullable=True, maximum=1),
        ],
        inputs=["number", "letter"],
    )

    assert sections(card.render(bare_manifest(view=view.contract())))["Inputs"][2:] == [
        "| number | float | allowed | -∞ to 1 |  |",
        "| letter | string | refused | 2 categories |  |",
    ]


def test_stored_sets_and_their_fallbacks_are_shown_where_there_are_some() -> None:
    shown = sections(card.render(bare_manifest(view=load_view(FEATURES, "trips").contract())))

    assert shown["Stored features"] == [
        "| set | looked up by | features | stale after | when stale | when missing | meaning |",
        "|---|---|---|---|---|---|---|",
        "| weather | place | wind, rain | 3 h | reject, but used up to 6 h | default | hourly |",
        "| vehicle | trip_id | seats | never | reject | reject |  |",
    ]
    assert shown["Inputs"][3:5] == [
        "| wind | float | allowed | all finite values | m/s |",
        "| rain | float | 0.0 | 0 to ∞ |  |",
    ]
    assert "Stored features" not in sections(card.render(bare_manifest()))


def test_the_output_says_how_a_score_becomes_a_decision() -> None:
    full = bare_manifest(
        output=Output(task="binary", name="p", form="matrix", classes=("in time", "late")),
        threshold=0.25,
        guards=Guards(minimum=0, maximum=1, cap_maximum=0.99),
        abstention=Abstention(low=0.4, high=0.6, decision="ask"),
        block=None,
    )

    assert sections(card.render(full))["Output"] == [
        "- task: binary",
        "- classes: in time, late",
        "- decides for late from a score of 0.25",
        "- scores from 0.4 to below 0.6: decision 'ask'",
        "- a score outside of 0 to 1 is rejected",
        "- capped to -∞ to 0.99",
        "- called with any number of rows at a time",
        "- scored by onnxruntime: registered before there was another engine",
    ]


def test_a_regressor_has_neither_classes_nor_a_threshold() -> None:
    plain = bare_manifest(output=Output(task="regression", name="v", form="matrix"), threshold=None)

    assert sections(card.render(plain))["Output"] == [
        "- task: regression",
        "- a score outside of all finite values is rejected",
        "- called with 256 rows at a time",
        "- scored by onnxruntime: registered before there was another engine",
    ]


def test_costs_and_hashes_are_shown() -> None:
    shown = sections(card.render(bare_manifest()))

    assert shown["Resources"][:4] == [
        "- bundle 2.00 MiB, loads in 0.50 s",
        "- peak memory 100 MiB",
        "- a batch of 1000 rows, p50 / p95 / p99: 1.00 ms / 2.00 ms / 3.00 ms",
        "- measured on a processor",
    ]
    assert [line.split("|")[1].strip() for line in shown["Files"][2:]] == sorted(BARE_FILES)
    assert all(bare_manifest().files[name] in shown["Files"][2 + i] for i, name in enumerate(sorted(BARE_FILES)))


def test_what_is_not_stated_is_said_so() -> None:
    shown = sections(
        card.render(
            bare_manifest(
                metrics=(), training=Training(), card=Card(owner="o", intended_use="u", limitations="l", changes="")
            )
        )
    )

    assert shown["Metrics"] == ["Not stated."]
    assert shown["Changes since the previous version"] == ["First version, or not stated."]
    assert shown["parcel-linear 1.0.0"] == ["Owner: o · licence: not stated · registered 2013-12-01T12:00:00.000000Z"]
    assert shown["Training"][1] == "- rows: not stated"


def test_a_bar_or_a_line_break_does_not_break_a_table() -> None:
    shown = sections(card.render(bare_manifest(metrics=(Metric(name="a|b", value=1, data="two\nlines"),))))

    assert shown["Metrics"][2:] == ["| a\\|b | 1.0000 |  | two lines |"]


def test_the_card_follows_from_the_manifest_alone() -> None:
    assert card.render(bare_manifest()) == card.render(bare_manifest())
    assert card.render(bare_manifest()) != card.render(bare_manifest(version="1.0.1"))
