from __future__ import annotations

import json
from typing import Any

import pytest

from scoretrail import digest
from scoretrail.errors import BundleError
from scoretrail.monitor.baseline import BASELINE, Baseline, baseline_of, gatherer_of
from scoretrail.scoring import score_batch
from tests.factory.registered import load_example
from tests.factory.trip import trips_example
from tests.factory.watched import readings, reference, watched_bundle, with_column

DATA = reference().to_bytes()
WORD = next(i for i, one in enumerate(reference().columns) if one.name == "word")


def changed(**changes: Any) -> bytes:
    return digest.canonical_json(json.loads(DATA) | changes)


def with_column_at(place: int, **changes: Any) -> bytes:
    columns = json.loads(DATA)["columns"]
    columns[place] |= changes
    return changed(columns=columns)


def with_first(**changes: Any) -> bytes:
    return with_column_at(0, **changes)


def with_bins(place: int, **changes: Any) -> bytes:
    """Return the baseline with other bins, and the same counts, of a column."""
    return with_column_at(place, bins=json.loads(DATA)["columns"][place]["bins"] | changes)


def test_a_baseline_comes_back_from_its_bytes() -> None:
    again = Baseline.from_bytes(DATA)

    assert again == reference()
    assert again.to_bytes() == DATA
    assert again.columns[0].reference == reference().columns[0].reference
    assert again.sha256 == reference().sha256


def test_its_bytes_are_canonical_json() -> None:
    assert digest.canonical_json(json.loads(DATA)) == DATA


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", BASELINE),
        (b"\xff", BASELINE),
        (b"[]", BASELINE),
        (DATA[:-1], BASELINE),
        (b"{}", "format_version"),
        (digest.canonical_json({"format_version": 1}), "rows"),
        (changed(rows="many"), "rows"),
        (changed(more=1), "more"),
        (with_first(bins={"kind": "other"}), "columns.0.bins"),
        (with_first(bins={"edges": [1.0]}), "columns.0.bins"),
        (with_first(bins={"kind": "number", "edges": ["a"]}), "columns.0.bins.number.edges.0.int"),
        (with_first(group="elsewhere"), "columns.0.group"),
        (with_first(counts={"rows": 1}), "columns.0.counts.bins"),
        (with_first(thresholds={"missing": {"warn": 1}}), "columns.0.thresholds.missing.drift"),
        (with_bins(0, edges=[1.0]), "columns.0"),
        (with_bins(0, edges=[]), "columns.0"),
        (with_bins(0, edges=[1.0] * 9), "columns.0"),
        (with_bins(0, edges=[*range(8), 0]), "columns.0"),
        (with_bins(WORD, names=["A"]), f"columns.{WORD}"),
        (with_bins(WORD, names=[]), f"columns.{WORD}"),
        (with_first(thresholds={}), "columns.0"),
    ],
)
def test_what_is_no_baseline_is_refused_and_where(data: bytes, where: str) -> None:
    with pytest.raises(BundleError, match="the baseline cannot be read") as caught:
        Baseline.from_bytes(data)
    assert caught.value.where == where


@pytest.mark.parametrize("place", [0, WORD])
def test_a_column_without_one_of_its_thresholds_is_refused_and_which(place: int) -> None:
    given = json.loads(DATA)["columns"][place]["thresholds"]

    for name in given:
        rest = {other: limit for other, limit in given.items() if other != name}
        with pytest.raises(BundleError, match="the baseline cannot be read") as caught:
            Baseline.from_bytes(with_column_at(place, thresholds=rest))
        assert (caught.value.where, caught.value.got) == (
            f"columns.{place}",
            f"Value error, no threshold for {name}",
        )


@pytest.mark.parametrize("centres", [[0.0], [0.0, 1.0], list(range(11)), [*range(9), 0]])
def test_centres_that_do_not_fit_the_bins_are_refused(centres: list[float]) -> None:
    with pytest.raises(BundleError, match="the baseline cannot be read"):
        Baseline.from_bytes(with_bins(0, centres=centres))


@pytest.mark.parametrize("centres", [[], list(range(10)), [1.0] * 10])
def test_centres_are_one_for_each_bin_or_none(centres: list[float]) -> None:
    assert Baseline.from_bytes(with_bins(0, centres=centres)).columns[0].bins.model_dump()["centres"] == tuple(centres)


def test_a_baseline_of_another_format_is_refused() -> None:
    with pytest.raises(BundleError, match="another version of Scoretrail") as caught:
        Baseline.from_bytes(changed(format_version=2))
    assert (caught.value.expected, caught.value.got) == ("format 1", "format 2")


def test_a_baseline_of_another_format_is_refused_as_that_whatever_else_it_has() -> None:
    for data in (changed(format_version=2, segments=[]), b'{"format_version":2}'):
        with pytest.raises(BundleError, match="another version of Scoretrail"):
            Baseline.from_bytes(data)


@pytest.mark.parametrize("other", [load_example(trips_example()), watched_bundle(more='Request("y", pa.int64()),')])
def test_the_baseline_of_another_model_is_refused(other: Any) -> None:
    with pytest.raises(BundleError, match="the baseline is of another model") as caught:
        reference().gatherer(other.view, other.manifest)
    assert caught.value.got == "x, amount, n, word, flag, half, score, confidence, label, decision"


@pytest.mark.parametrize("changes", [{"name": "other"}, {"group": "derived"}])
def test_a_baseline_of_as_many_other_columns_is_refused(changes: dict[str, str]) -> None:
    bundle = watched_bundle()

    with pytest.raises(BundleError, match="the baseline is of another model"):
        with_column(reference(), "amount", **changes).gatherer(bundle.view, bundle.manifest)


def test_a_bundle_without_a_baseline_has_neither_it_nor_what_counts() -> None:
    assert baseline_of({}) is None
    assert gatherer_of({}, watched_bundle()) is None


def test_the_baseline_of_a_bundle_is_known_by_the_digest_of_its_bytes() -> None:
    found = baseline_of({BASELINE: DATA})

    assert found == reference()
    assert found is not None
    assert found.sha256 == digest.of_bytes(DATA)
    assert found.to_bytes() == DATA  # also once the digest is known


def test_another_baseline_has_another_digest() -> None:
    assert Baseline.from_bytes(changed(rows=1)).sha256 != reference().sha256
    assert with_column(reference(), "x", deviation=2.0).sha256 != reference().sha256


def test_what_counts_is_made_of_a_bundles_files() -> None:
    bundle = watched_bundle()
    gatherer = gatherer_of({BASELINE: DATA}, bundle)
    assert gatherer is not None
    (batch,) = readings(7).to_batches()

    gatherer.add(batch, score_batch(bundle, batch)[0])

    assert gatherer.tally().baseline == digest.of_bytes(DATA)
    assert [counts.rows for counts in gatherer.tally().columns] == [7] * len(reference().columns)


def test_a_broken_baseline_of_a_bundle_is_refused() -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        gatherer_of({BASELINE: b"{}"}, watched_bundle())
    with pytest.raises(BundleError, match="of another model"):
        gatherer_of({BASELINE: DATA}, load_example(trips_example()))
