"""Pictures: whatever the figures are, they are valid SVG inside their frame, with a title and a description."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.health.chart import POINTS, Limits, band, blocks, reliability, sparkline

VALUES = st.one_of(st.none(), st.floats(width=64))
LEVELS = st.sampled_from(["ok", "warn", "drift", "not_enough_data", None])
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def drawn(svg: str) -> ET.Element:
    """Return the picture's root after looking at everything that holds for all of them."""
    root = ET.fromstring(svg)  # noqa: S314  (made by us)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert root.attrib["role"] == "img"
    title, told = root[0], root[1]
    assert (title.tag, told.tag) == ("title", "desc")
    assert root.attrib["aria-labelledby"] == title.attrib["id"]
    assert root.attrib["aria-describedby"] == told.attrib["id"]
    assert title.text
    assert told.text
    for element in root.iter():
        for name in ("cx", "cy", "x", "y"):
            if name in element.attrib:
                assert -1 <= float(element.attrib[name]) <= max(width, height) + 1
        path = element.attrib.get("d", "")
        assert not re.search("nan|inf", path, re.IGNORECASE)
        for pair in re.findall(r"[ML]([^A-Za-z]+)", path):
            x, y = map(float, NUMBER.findall(pair)[:2])
            assert -3 <= x <= width + 3
            assert -3 <= y <= height + 3
    return root


def picture(svg: str, kind: str) -> list[ET.Element]:
    return [one for one in drawn(svg).iter() if one.attrib.get("class") == kind]


@given(st.lists(st.tuples(VALUES, LEVELS), max_size=80), st.booleans())
def test_a_sparkline_is_valid_whatever_the_values_are(
    pairs: list[tuple[float | None, str | None]], limited: bool
) -> None:
    values, levels = [value for value, _ in pairs], [level for _, level in pairs]
    drawn(sparkline("a", "values", values, levels, Limits(0.1, 0.2) if limited else None))
    assert len(blocks(values)) == min(len(values), POINTS)


@given(
    st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=80), st.one_of(st.none(), st.tuples(VALUES, VALUES, VALUES))
)
def test_a_band_is_valid_whatever_the_values_are(
    values: list[tuple[float | None, float | None, float | None]],
    promised: tuple[float | None, float | None, float | None] | None,
) -> None:
    drawn(band("a", "figures", values, promised, ("first", "last")))


@given(st.lists(st.tuples(st.floats(), st.floats(), st.integers(0, 10**9)), max_size=12))
def test_a_reliability_picture_is_valid_whatever_the_tenths_are(tenths: list[tuple[float, float, int]]) -> None:
    drawn(reliability("a", "calibration", tenths))


def test_text_is_escaped() -> None:
    root = drawn(sparkline("a", "<script>&\"'", [1.0]))
    assert root[0].text == "<script>&\"'"
    assert "<script>" not in sparkline("a", "<script>", [1.0])
    assert "<b>" not in band("a", "t", [(1.0, 0.0, 2.0)], None, ("<b>", "</b>"))


def test_thresholds_and_marks_lie_where_they_belong() -> None:
    svg = sparkline("a", "x", [0.05, 0.15, 0.4], ["ok", "warn", "drift"], Limits(0.1, 0.2))
    (warn,), (drift,) = picture(svg, "w"), picture(svg, "d")
    y = {
        name: float(one.attrib["d"].removeprefix("M0 ").partition("H")[0]) for name, one in (("w", warn), ("d", drift))
    }
    (newest,) = picture(svg, "n")
    assert float(newest.attrib["cy"]) < y["d"] < y["w"], "upwards is more"
    (warned,), (drifted,) = picture(svg, "pw"), picture(svg, "pd")
    assert (warned.attrib["d"], drifted.attrib["d"]) == ("M76 57H224", "M224 57H370")
    told = drawn(svg)[1].text or ""
    assert "3 values from 0.05 to 0.4, the newest 0.4" in told
    assert "Warn from 0.1, drift from 0.2. 1 times warn. 1 times drift." in told


def test_a_gap_breaks_the_line_and_a_single_value_is_a_dot() -> None:
    (line,) = picture(sparkline("a", "x", [1.0, 2.0, None, math.nan, 3.0]), "l")
    assert line.attrib["d"].count("M") == 2
    assert line.attrib["d"].endswith("h.1")
    assert picture(sparkline("a", "x", [None]), "n") == []
    assert len(picture(sparkline("a", "x", [5.0]), "n")) == 1


def test_an_effect_out_of_all_proportion_leaves_the_thresholds_in_sight() -> None:
    (drift,) = picture(sparkline("a", "x", [0.1, 500.0], ["ok", "drift"], Limits(0.1, 0.2)), "d")
    assert float(drift.attrib["d"].removeprefix("M0 ").partition("H")[0]) < 45


def test_only_the_newest_points_are_drawn() -> None:
    long = sparkline("a", "x", [float(i % 7) for i in range(500)])
    assert f"{POINTS} values" in (drawn(long)[1].text or "")
    assert len(long) < 1500


def test_a_promise_is_drawn_and_told() -> None:
    svg = band("a", "x", [(0.7, 0.68, 0.72), (0.65, 0.6, 0.69)], (0.71, 0.7, 0.73), ("Monday", "Sunday"))
    assert len(picture(svg, "pb")) == 1
    assert "Promised: 0.71, 0.7 to 0.73." in (drawn(svg)[1].text or "")
    assert picture(band("a", "x", [(0.7, 0.68, 0.72)], None, ("", "")), "pb") == []


@pytest.mark.parametrize("tenths", [[], [(math.nan, 0.1, 3)], [(2.0, 0.1, 3)]])
def test_calibration_of_nothing_says_so(tenths: list[tuple[float, float, int]]) -> None:
    assert drawn(reliability("a", "x", tenths))[1].text == "No rows."
