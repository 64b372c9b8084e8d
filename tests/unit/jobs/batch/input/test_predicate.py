"""``--where`` against another engine that speaks SQL: DuckDB says which rows are true."""

from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pytest

from jobs.batch.input import predicate
from scoretrail.errors import PredicateError

TABLE = pa.table(
    {
        "row": pa.array(range(8), pa.int64()),
        "n": pa.array([1, 2, 3, None, -5, 0, 7, 2], pa.int16()),
        "x": pa.array([0.5, None, -1.5, 2.0, 0.0, 1e9, 3.25, 0.1], pa.float64()),
        "s": pa.array(["a", "b", None, "it's", "", "B", "a b", "a"]),
        "d": pa.array([date(2013, 12, day) for day in range(1, 8)] + [None], pa.date32()),
        "seen": pa.array(
            [datetime(2013, 12, 1, hour, tzinfo=UTC) for hour in range(7)] + [None], pa.timestamp("us", "UTC")
        ),
        "ok": pa.array([True, False, None, True, False, True, None, False]),
        "dict": pa.array(["u", "v", None, "u", "v", "u", "w", "w"]).dictionary_encode(),
    }
)
CONDITIONS = (
    "n = 2",
    "n <> 2",
    "2 < n",
    "2 >= n",
    "n BETWEEN -5 AND 2",
    "n NOT BETWEEN 1 AND 2",
    "n IN (1, 2, 7)",
    "n NOT IN (1, 2, 7)",
    "NOT (n IN (1) OR x > 1)",
    "n IS NULL",
    "n IS NOT NULL AND x IS NULL",
    "NOT n = 2",
    "x > 0.1",
    "x <= -1.5",
    "x = 1e9",
    "s = 'it''s'",
    "s IN ('a', 'B')",
    "NOT s IN ('a')",
    "s > 'a'",
    "s = ''",
    "d >= '2013-12-03'",
    "d = DATE '2013-12-02'",
    "seen > '2013-12-01 02:00:00+00:00'",
    "seen <= TIMESTAMPTZ '2013-12-01 02:00:00+00:00'",
    "ok = TRUE",
    "ok = FALSE OR n > 2",
    "dict = 'u'",
    "dict IN ('u', 'w')",
    "dict NOT IN ('u')",
    "n = 1 OR n = 2 AND x > 1",
    "(n = 1 OR n = 2) AND x < 1",
    "NOT (n > 1 AND s = 'b')",
    "NOT NOT n = 2",
)


def chosen(condition: str) -> list[int]:
    expression = predicate.parse(condition).expression(TABLE.schema)
    rows: list[int] = TABLE.filter(expression)["row"].to_pylist()
    return rows


@pytest.mark.parametrize("condition", CONDITIONS)
def test_it_means_what_it_means_in_sql(condition: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("records", TABLE)
        found = connection.execute(f"SELECT row FROM records WHERE {condition} ORDER BY row").fetchall()
    assert chosen(condition) == [row for (row,) in found]
    assert 0 < len(found) < TABLE.num_rows  # a condition that chooses nothing or everything shows nothing


@pytest.mark.parametrize("condition", CONDITIONS)
def test_its_normalised_text_means_the_same_and_stays_as_it_is(condition: str) -> None:
    text = predicate.parse(condition).text
    assert predicate.parse(text).text == text
    assert chosen(text) == chosen(condition)


@pytest.mark.parametrize(
    ("one", "other"),
    [("n>1", "n  >  1"), ("n in(1,2)", "n IN (1, 2)"), ("n=1 and x=2", "n = 1 AND x = 2"), ("n = 1 -- why", "n = 1")],
)
def test_spellings_of_one_condition_have_one_text(one: str, other: str) -> None:
    assert predicate.parse(one).text == predicate.parse(other).text


def test_the_columns_it_looks_at_are_told() -> None:
    assert predicate.parse("n = 1 OR (s = 'a' AND NOT n > 3)").columns == ("n", "s")


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "n =",
        "n = 1 LIMIT 5",
        "n = 1 ORDER BY n",
        "n = 1 GROUP BY n",
        "n = 1; DROP TABLE t",
        "n = 1) OR (n = 2",
        "SELECT 1",
    ],
)
def test_what_is_no_condition_does_not_parse(condition: str) -> None:
    with pytest.raises(PredicateError, match="does not parse"):
        predicate.parse(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "n = x",
        "n + 1 = 2",
        "lower(s) = 'a'",
        "s LIKE 'a%'",
        "n IN (SELECT 1)",
        "1 = 1",
        "TRUE",
        "n",
        "t.n = 1",
        "ok IS TRUE",
        "n = NULL",
        "n = ?",
        "n IN (x)",
        "n BETWEEN x AND 2",
        "EXISTS (SELECT 1)",
        "CASE WHEN n = 1 THEN TRUE ELSE FALSE END",
        "NOT (n = 1 AND s LIKE 'a')",
    ],
)
def test_what_is_outside_the_grammar_is_refused_before_any_data_is_looked_at(condition: str) -> None:
    with pytest.raises(PredicateError) as caught:
        predicate.parse(condition)
    assert "comparisons of a column with a value" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("m = 1", "names a column that is not there: m"),
        ("n = 'one'", "compares n with a value of another type"),
        ("n = 1.5", "compares n with a value of another type"),
        ("n = 100000", "compares n with a value of another type"),
        ("n = 99999999999999999999999", "compares n with a value of another type"),
        ("d = 'yesterday'", "compares d with a value of another type"),
        ("seen > 'noon'", "compares seen with a value of another type"),
        ("ok = 'perhaps'", "compares ok with a value of another type"),
    ],
)
def test_a_condition_that_does_not_fit_the_columns(condition: str, message: str) -> None:
    with pytest.raises(PredicateError, match=message):
        chosen(condition)


def test_the_nearest_column_is_named() -> None:
    with pytest.raises(PredicateError) as caught:
        predicate.parse("distence > 3").expression(pa.schema({"distance": pa.int64()}))
    assert caught.value.fix == "did you mean distance?"


@pytest.mark.parametrize("zone", ["Z", "+00:00", "-00:00", ""])
def test_a_time_without_a_zone_is_utc(zone: str) -> None:
    assert chosen(f"seen = '2013-12-01 03:00:00{zone}'") == [3]


def test_a_time_may_have_any_zone() -> None:
    assert chosen("seen = '2013-12-01 05:00:00+02:00'") == [3]
    assert chosen("seen = '2013-11-30 22:00:00-05:00'") == [3]
