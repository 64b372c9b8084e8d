"""What of a change to a JSON Schema breaks those on the other side of a topic: whoever writes, or whoever reads."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Literal

from scoretrail.errors import OutputTableError

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]
Side = Literal["writer", "reader"]
"""Who is on the other side: of writers of events no more may be asked, readers may be given no less."""


def breaking_changes(before: Schema, after: Schema, side: Side) -> list[str]:
    """Return what somebody who relies on the earlier schema would trip over in the later one; empty if nothing.

    Writers: all that they may send must still be taken. Readers: they may only get what they were promised.

    Args:
        before: a JSON Schema of an object.
        after: the one that would take its place.
        side: who relies on it.
    """
    return list(_broken(before, after, side, ""))


def refuse_breaking(path: str, before: Schema, after: Schema) -> None:
    """Refuse a schema that breaks the other side of its topic.

    Args:
        path: the schema's file; events are written by others, all else is read by others.
        before: the schema that is there.
        after: the one that would take its place.

    Raises:
        OutputTableError: it does.
    """
    side: Side = "writer" if path.endswith(".event.schema.json") else "reader"
    found = breaking_changes(before, after, side)
    if found:
        raise OutputTableError(
            f"the change breaks every {side} of the topic",
            where=path,
            got="; ".join(found),
            fix="add what may be left out, or give it topics of its own: an entry in contracts/topics.yaml",
        )


def _broken(before: Schema, after: Schema, side: Side, place: str) -> Iterator[str]:
    now = after.get("properties", {})
    for name, was in before.get("properties", {}).items():
        if name in now:
            yield from _value_broken(was, now[name], side, f"{place}{name}")
            yield from _broken(was, now[name], side, f"{place}{name}.")
        elif side == "reader":  # an event may hold what nobody reads
            yield f"{place}{name} is gone"
    was_required, is_required = set(before.get("required", ())), set(after.get("required", ()))
    if side == "writer":
        yield from (f"{place}{name} has to be there now" for name in sorted(is_required - was_required))
    else:
        yield from (f"{place}{name} may be missing now" for name in sorted((was_required - is_required) & set(now)))
    for name, was in before.get("definitions", {}).items():
        yield from _broken(was, after.get("definitions", {}).get(name, {}), side, f"{place}{name}.")


def _value_broken(was: Schema, now: Schema, side: Side, at: str) -> Iterator[str]:
    small, large = (was, now) if side == "writer" else (now, was)
    if not _types(small) <= _types(large):
        yield f"{at} was {_told(was)} and is {_told(now)}"
    if "enum" in large and not set(small.get("enum", (_types,))) <= set(large["enum"]):
        yield f"{at} has other values"
    if small.get("minimum", -inf) < large.get("minimum", -inf) or small.get("maximum", inf) > large.get("maximum", inf):
        yield f"{at} has another range"
    for word in ("anyOf", "const", "format", "pattern", "contentEncoding"):
        if word in large and small.get(word) != large[word]:
            yield f"{at} has another form"


def _types(schema: Schema) -> set[str]:
    types = schema.get("type", "anything")
    found = {types} if isinstance(types, str) else set(types)
    return found | {"integer"} if "number" in found else found


def _told(schema: Schema) -> str:
    types = schema.get("type", "anything")
    return types if isinstance(types, str) else " or ".join(types)
