"""What a PromQL expression names: metrics with the labels that they are selected by, and the labels that it groups by.

Not a parser: promtool is one, and checks the grammar. This finds names, which promtool takes as they come.
"""

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<range>\[[^\]]*\])"""
    r"""|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_:][\w:]*)|(?P<sign>=~|!~|!=|==|<=|>=|\S)"""
)
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = GROUPING | {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"}


@dataclass(frozen=True)
class Named:
    """What an expression names."""

    metrics: dict[str, set[str]]
    """Metric -> labels in its selectors."""
    grouped: set[str]
    """Labels that are grouped, matched or copied by."""


def named(expression: str) -> Named:
    """Return the names in an expression."""
    tokens = [
        (match.lastgroup, match.group())
        for match in TOKEN.finditer(expression)
        if match.lastgroup not in {"comment", "range"}
    ]
    metrics: dict[str, set[str]] = {}
    grouped: set[str] = set()
    i = 0
    while i < len(tokens):
        kind, text = tokens[i]
        following = tokens[i + 1][1] if i + 1 < len(tokens) else ""
        i += 1
        if kind == "sign" and text == "{":  # a selector without a name, which Grafana's variables have
            i, labels = _selector(tokens, i)
            metrics.setdefault("", set()).update(labels)
        elif kind != "name":
            continue
        elif text in GROUPING and following == "(":
            i, names = _until(tokens, i + 1, ")")
            grouped |= names
        elif text not in WORDS and following not in {"(", "by", "without"}:
            found = metrics.setdefault(text, set())
            if following == "{":
                i, labels = _selector(tokens, i + 1)
                found |= labels
    return Named(metrics, grouped)


def _until(tokens: list[tuple[str | None, str]], i: int, end: str) -> tuple[int, set[str]]:
    names = set()
    while tokens[i][1] != end:
        if tokens[i][0] == "name":
            names.add(tokens[i][1])
        i += 1
    return i + 1, names


def _selector(tokens: list[tuple[str | None, str]], i: int) -> tuple[int, set[str]]:
    return _until(tokens, i, "}")
