"""The page of the settings: every name, its type, its default and what it does, from the model that checks them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

from jobs.reference.docstring import first_paragraph
from jobs.reference.meaning import MEANINGS
from jobs.reference.page import page, prose, table
from scoretrail.config import ENV_PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_INTRODUCTION: Final = """
A setting has one dotted name. Later layers win:

1. the default in the code;
2. `conf/base.yaml` (another folder: `--conf DIR` or `SCORETRAIL_CONF`);
3. `conf/env/NAME.yaml`, chosen by `--env NAME` or `SCORETRAIL_ENV`;
4. files in the folder `SCORETRAIL_SECRETS_DIR`, each named like the environment variable without its prefix, such as
   `storage__options__aws_secret_access_key`;
5. the environment: `SCORETRAIL__BATCH__SPLIT_MIB=64`; lists and mappings are JSON;
6. the command line: `--set batch.split_mib=64`, or an option that names its setting.

`scoretrail config show --origin` prints each value in force and the layer that set it; secrets are masked there, in
the trail, and never accepted on a command line. An unknown name is refused (exit 78), and the nearest known one is
named.
"""

_MODULE: Final = re.compile(r"\b(?:[a-zA-Z_]\w*\.)+(?=[a-zA-Z_])")


def settings_page() -> str:
    """Return the page."""
    sections = list(_sections(Settings))
    return page("Settings", "scoretrail/config.py", _INTRODUCTION, *(_section(name, model) for name, model in sections))


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield dotted name and model of every section, an outer one before those in it."""
    for name, field in model.model_fields.items():
        if inner := _section_of(field):
            yield f"{prefix}{name}", inner
            yield from _sections(inner, f"{prefix}{name}.")


def _section(name: str, model: type[BaseModel]) -> str:
    known = MEANINGS.get(model.__name__, {})
    rows = [
        (
            f"`{name}.{key}`",
            f"`{_type(field)}`",
            f"`{_default(field)}`",
            prose(field.description or known.get(key, "")),
            f"`{ENV_PREFIX}{name.upper().replace('.', '__')}__{key.upper()}`",
        )
        for key, field in model.model_fields.items()
        if not _section_of(field)
    ]
    drawn = table(("setting", "type", "default", "meaning", "environment"), rows)
    return f"## {name}\n\n{prose(first_paragraph(model.__doc__))}\n\n{drawn}"


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _type(field: FieldInfo) -> str:
    """Return the type with its limits, as one writes it.

    Limits stand in the field's metadata (``Ge(ge=1)``), each under its own name.
    """
    limits = []
    for limit in field.metadata:
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
            if hasattr(limit, name):
                limits.append(f"{sign} {getattr(limit, name):g}")
    return " ".join([type_text(field.annotation), *([", ".join(limits)] if limits else [])])


def type_text(annotation: Any) -> str:  # noqa: ANN401  (annotations have no common type)
    """Return an annotation without module names.

    >>> from typing import Literal
    >>> type_text(Literal["exact", "platform"]), type_text(dict[str, str]), type_text(int | None)
    ('exact | platform', 'dict[str, str]', 'int | None')
    """
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    text = str(annotation).removeprefix("typing.")
    if text.startswith("Literal["):
        return " | ".join(str(value) for value in get_args(annotation))
    return _MODULE.sub("", text)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, tuple | dict) and not value:
        return "empty"
    return str(value)
