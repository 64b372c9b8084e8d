"""What a registration is told in files and short options, checked: card, metrics, parameters, guards, window."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from scoretrail.errors import DataError, UsageError, nearest
from scoretrail.model.manifest import Abstention, Card, Guards, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Part = TypeVar("Part", bound=BaseModel)

_REQUIRED: Final = {"owner": "--owner", "intended_use": "--intended-use", "limitations": "--limitations"}
_GIT_LIMIT_S: Final = 10


def card(file: Path | None, options: Mapping[str, str | None]) -> Card:
    """Return what people must know: a YAML file's fields, each overruled by its option.

    Raises:
        UsageError: a required field is stated nowhere.
        DataError: the file does not parse, or has an unknown field.
    """
    stated: dict[str, Any] = dict(_mapping(file)) if file else {}
    stated |= {name: value for name, value in options.items() if value}
    missing = [option for name, option in _REQUIRED.items() if not str(stated.get(name) or "").strip()]
    if missing:
        raise UsageError(
            "the model's card is incomplete",
            expected="owner, intended use and limitations",
            got=f"missing: {', '.join(missing)}",
            fix="give these options, or --card FILE.yaml with owner, intended_use, limitations, changes, licence",
        )
    return _part(Card, stated, str(file or "--card"))


def metrics(file: Path | None) -> tuple[Metric, ...]:
    """Return the figures in a JSON or YAML file: ``{auc: 0.62, brier: {value: …, low: …, high: …, data: …}}``.

    Raises:
        DataError: the file does not parse, or holds something else.
    """
    if file is None:
        return ()
    found = [
        {"name": name, **(value if isinstance(value, dict) else {"value": value})}
        for name, value in _mapping(file).items()
    ]
    return tuple(_part(Metric, one, f"{file}: {one['name']}") for one in found)


def parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return the training parameters of ``--parameters``, each a ``KEY=VALUE`` or a JSON or YAML file of them.

    Raises:
        UsageError: a text is neither.
        DataError: a file does not parse.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals:
            found[name] = yaml.safe_load(value)
        elif Path(text).is_file():
            found |= _mapping(Path(text))
        else:
            raise UsageError("--parameters is neither KEY=VALUE nor a file", got=text)
    # Through JSON text, for that is what the manifest is: a date, say, becomes its text here and not at publication.
    return dict(json.loads(json.dumps(found, default=str)))


def guards(
    minimum: float | None, maximum: float | None, cap_minimum: float | None, cap_maximum: float | None
) -> Guards:
    """Return the guards.

    Raises:
        UsageError: a minimum is above its maximum.
    """
    try:
        return Guards(minimum=minimum, maximum=maximum, cap_minimum=cap_minimum, cap_maximum=cap_maximum)
    except ValidationError as error:
        raise UsageError("the guards contradict each other", got=_message(error)) from error


def abstention(text: str | None) -> Abstention | None:
    """Return the band of ``LOW,HIGH,DECISION``.

    >>> abstention("0.4,0.6,review")
    Abstention(low=0.4, high=0.6, decision='review')

    Raises:
        UsageError: it is something else, or the band is empty.
    """
    if text is None:
        return None
    try:
        low, high, decision = text.split(",", 2)
        return Abstention(low=float(low), high=float(high), decision=decision.strip())
    except ValidationError as error:
        raise UsageError("--abstain is no band", got=_message(error)) from error
    except ValueError as error:
        raise UsageError("--abstain cannot be understood", expected="LOW,HIGH,DECISION", got=text) from error


def window(text: str | None) -> tuple[str | None, str | None]:
    """Return the two ends of ``START..END``.

    >>> window("2013-01-01..2013-08-31")
    ('2013-01-01', '2013-08-31')

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None, None
    start, dots, end = (part.strip() for part in text.partition(".."))
    if not (start and dots and end) or start > end:
        raise UsageError(
            "--window cannot be understood", expected="START..END, such as 2013-01-01..2013-08-31", got=text
        )
    return start, end


def classes(text: str | None) -> tuple[str, ...]:
    """Return the labels of ``A,B,C``.

    >>> classes("on time, late")
    ('on time', 'late')
    """
    return tuple(part.strip() for part in text.split(",")) if text else ()


def code_commit(folder: Path) -> str | None:
    """Return the git commit of the code in ``folder``, with ``-dirty`` where files differ from it; None without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  (whichever git the user has)
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _mapping(file: Path) -> Mapping[str, Any]:
    """Return a file's mapping; JSON is read as the YAML that it is.

    Raises:
        DataError: it holds none.
    """
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError("the file is neither YAML nor JSON", where=str(file), got=str(error).splitlines()[0]) from error
    if not isinstance(value, dict):
        raise DataError("the file holds no mapping", where=str(file), expected="name: value", got=type(value).__name__)
    return value


def _part(kind: type[Part], values: Mapping[str, Any], where: str) -> Part:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        near = nearest(name, kind.model_fields) if first["type"] == "extra_forbidden" else None
        raise DataError(
            f"{name!r} cannot be used",
            where=where,
            expected=", ".join(kind.model_fields),
            got=_message(error),
            fix=f"did you mean {near}?" if near else None,
        ) from error


def _message(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
