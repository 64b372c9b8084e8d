"""The page of exit codes and errors, from the classes that decide them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.reference.docstring import first_paragraph
from jobs.reference.page import page, prose, table
from scoretrail import errors
from scoretrail.errors import Disposition, ExitCode, ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES: Final = {
    ExitCode.DONE: ("done", "go on"),
    ExitCode.USAGE: ("the command line makes no sense", "fail; mend the command"),
    ExitCode.GATE: (
        "a gate said no: a held run, a difference that was found",
        "fail; a person decides",
    ),
    ExitCode.DATA: ("bad data, bundle, table or trail", "fail; mend the data"),
    ExitCode.LIMIT: ("a limit that an operator set was exceeded; nothing was published", "fail; look at the rows"),
    ExitCode.RETRY: ("the world moved or was away; nothing was lost", "retry the same command"),
    ExitCode.CONFIGURATION: ("settings, installation or machine", "fail; `scoretrail doctor` says what mends it"),
}
_OTHERS: Final = (
    (
        "1",
        "none of these describes it, or the reader of the output went away",
        "fail; `--debug` prints more",
    ),
    ("130", "interrupted from the keyboard", "fail; the same command goes on where it stopped"),
)
_INTRODUCTION: Final = """
Every failure is one class below `scoretrail.errors.ScoretrailError`, and the class decides the exit code and what
is done: *stop* ends the run; *retry* lets Spark try the task again, and then asks the scheduler to run the same
command later; *reject* would send one record to a dead letter (no class of batch scoring does). A message has five
parts: what is wrong, where, what was expected, what was got, what to do. With `--json` they are the object `error`
on standard output.
"""


def errors_page() -> str:
    """Return the page."""
    codes = [(f"{int(code)}", *_CODES[code]) for code in ExitCode]
    classes = [
        (
            f"{'&nbsp;' * 4 * depth}`{cls.__name__}`",
            str(int(cls.exit_code)),
            cls.disposition.value if cls.disposition is not Disposition.STOP else "",
            prose(first_paragraph(cls.__doc__)),
        )
        for depth, cls in _tree(ScoretrailError)
    ]
    return page(
        "Exit codes and errors",
        "scoretrail/errors.py",
        "## Exit codes",
        table(("code", "meaning", "what a scheduler does"), sorted([*codes, *_OTHERS], key=lambda row: int(row[0]))),
        "## Errors",
        _INTRODUCTION,
        table(("class", "exit code", "disposition, if not stop", "meaning"), classes),
    )


def _tree(cls: type[ScoretrailError], depth: int = 0) -> Iterator[tuple[int, type[ScoretrailError]]]:
    """Yield the depth and the class of every error of the module, each parent before its children."""
    yield depth, cls
    order = list(vars(errors))
    children = [one for one in cls.__subclasses__() if one.__module__ == errors.__name__]
    for child in sorted(children, key=lambda one: order.index(one.__name__)):
        yield from _tree(child, depth + 1)
