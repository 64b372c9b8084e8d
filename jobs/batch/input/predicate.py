"""``--where``: a small grammar of SQL, parsed by sqlglot into an Arrow expression; the only import of sqlglot."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import expressions as sql

from scoretrail.errors import PredicateError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

_COMPARISONS: Final[dict[type[sql.Expr], Callable[[Any, Any], Any]]] = {
    sql.EQ: lambda left, right: left == right,
    sql.NEQ: lambda left, right: left != right,
    sql.LT: lambda left, right: left < right,
    sql.LTE: lambda left, right: left <= right,
    sql.GT: lambda left, right: left > right,
    sql.GTE: lambda left, right: left >= right,
}
_ZONE: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_GRAMMAR: Final = "comparisons of a column with a value, IN, BETWEEN, IS [NOT] NULL, AND, OR, NOT"


@dataclass(frozen=True)
class Predicate:
    """A condition on the columns of the input; rows for which it is not true, null included, are left out."""

    text: str
    """Normalised: the same condition, spelt the same way, is part of every work key."""

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at, sorted."""
        return tuple(sorted({column.name for column in _parse(self.text).find_all(sql.Column)}))

    def expression(self, schema: pa.Schema) -> pc.Expression:
        """Return the condition for data of a schema.

        Raises:
            PredicateError: a column is not there, or a value cannot be compared with its type.
        """
        return _build(_parse(self.text), schema)


def parse(text: str) -> Predicate:
    """Return the condition that a text states.

    >>> parse("distance>100 and carrier in ('AA','UA')").text
    "distance > 100 AND carrier IN ('AA', 'UA')"

    Raises:
        PredicateError: it does not parse, or is outside the grammar.
    """
    tree = _parse(text)
    _check(tree)
    return Predicate(tree.sql(comments=False))


@functools.lru_cache(maxsize=16)
def _parse(text: str) -> sql.Expr:
    try:
        # Into a condition: of a whole statement, what follows the condition (LIMIT, say) would be left out unseen.
        return sqlglot.parse_one(text, into=sql.Condition)
    except sqlglot.errors.SqlglotError as error:
        raise PredicateError("--where does not parse", got=text, expected=_GRAMMAR) from error


def _check(node: sql.Expr) -> None:
    """Refuse what is outside the grammar before any data is looked at.

    Raises:
        PredicateError: something is.
    """
    if isinstance(node, sql.Paren | sql.Not):
        _check(node.this)
    elif isinstance(node, sql.And | sql.Or):
        _check(node.left)
        _check(node.right)
    elif isinstance(node, sql.In) and not node.args.get("query"):
        _column(node.this)
        for value in node.expressions:
            _literal(value)
    elif isinstance(node, sql.Between):
        _column(node.this)
        _literal(node.args["low"])
        _literal(node.args["high"])
    elif isinstance(node, sql.Is) and isinstance(node.expression, sql.Null):
        _column(node.this)
    elif type(node) in _COMPARISONS:
        _sides(node)
    else:
        raise PredicateError("--where holds something outside its grammar", got=node.sql(), expected=_GRAMMAR)


def _build(node: sql.Expr, schema: pa.Schema) -> pc.Expression:  # noqa: PLR0911  (one per kind of node)
    if isinstance(node, sql.Paren):
        return _build(node.this, schema)
    if isinstance(node, sql.Not):
        return ~_build(node.this, schema)
    if isinstance(node, sql.And):
        return _build(node.left, schema) & _build(node.right, schema)
    if isinstance(node, sql.Or):
        return _build(node.left, schema) | _build(node.right, schema)
    if isinstance(node, sql.Is):
        return pc.field(_known(node.this, schema)).is_null()
    if isinstance(node, sql.In):
        name = _known(node.this, schema)
        values = [_scalar(value, schema, name).as_py() for value in node.expressions]
        among = pc.field(name).isin(pa.array(values, _plain(schema.field(name).type)))
        # Arrow calls null a stranger to every list; in SQL the answer is null, and stays null under NOT.
        return pc.if_else(pc.field(name).is_valid(), among, pa.scalar(None, pa.bool_()))
    if isinstance(node, sql.Between):
        name = _known(node.this, schema)
        low, high = (_scalar(node.args[edge], schema, name) for edge in ("low", "high"))
        return (pc.field(name) >= low) & (pc.field(name) <= high)
    column, value, flipped = _sides(node)
    name = _known(column, schema)
    compare = _COMPARISONS[type(node)]
    scalar = _scalar(value, schema, name)
    return compare(scalar, pc.field(name)) if flipped else compare(pc.field(name), scalar)


def _sides(node: sql.Expr) -> tuple[sql.Column, sql.Expr, bool]:
    """Return a comparison's column, its value, and whether the value stands on the left."""
    left, right = node.left, node.right  # type: ignore[attr-defined]
    flipped = not isinstance(left, sql.Column)
    column, value = (right, left) if flipped else (left, right)
    _literal(value)
    return _column(column), value, flipped


def _column(node: sql.Expression) -> sql.Column:
    if not isinstance(node, sql.Column) or node.table:
        raise PredicateError("--where compares columns with values", got=node.sql(), expected=_GRAMMAR)
    return node


def _known(node: sql.Expression, schema: pa.Schema) -> str:
    name = _column(node).name
    if name not in schema.names:
        near = nearest(name, schema.names)
        raise PredicateError(
            f"--where names a column that is not there: {name}",
            got=", ".join(schema.names[:20]),
            fix=f"did you mean {near}?" if near else None,
        )
    return name


def _literal(node: sql.Expr) -> bool | float | int | str:
    if isinstance(node, sql.Cast) and isinstance(node.this, sql.Literal):
        return str(node.this.this)
    if isinstance(node, sql.Neg) and isinstance(node.this, sql.Literal) and not node.this.is_string:
        return -_number(node.this.this)
    if isinstance(node, sql.Boolean):
        return bool(node.this)
    if isinstance(node, sql.Literal):
        return str(node.this) if node.is_string else _number(node.this)
    raise PredicateError("--where compares columns with values", got=node.sql(), expected=_GRAMMAR)


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _scalar(node: sql.Expr, schema: pa.Schema, name: str) -> pa.Scalar:
    value, wanted = _literal(node), _plain(schema.field(name).type)
    try:
        if isinstance(value, str) and pa.types.is_timestamp(wanted) and wanted.tz is not None:
            zoned = value if _ZONE.search(value) else f"{value}Z"
            return pa.scalar(zoned).cast(wanted)
        scalar = pa.scalar(value).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
        raise PredicateError(
            f"--where compares {name} with a value of another type", expected=str(wanted), got=node.sql()
        ) from error
    return scalar


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_
