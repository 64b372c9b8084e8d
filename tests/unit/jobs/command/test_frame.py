"""How a function becomes a command."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from jobs.command.frame import command, entry, group
from jobs.command.invocation import Invocation


def program(seen: list[tuple[Invocation, str, int]]) -> typer.Typer:
    """Return a program with one group and one command that notes what it is handed."""
    app, inner = typer.Typer(), group("Things.")
    app.add_typer(inner, name="thing")

    @entry(app)
    def root(invocation: Invocation) -> None:
        """Do things."""

    @command(inner)
    def make(
        invocation: Invocation, name: Annotated[str, typer.Argument()], *, count: Annotated[int, typer.Option()] = 1
    ) -> None:
        """Make a thing.

        Raises:
            ValueError: for readers of the code.
        """
        seen.append((invocation, name, count))

    return app


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quiet", "thing", "make", "x", "--count", "3", "--set", "a.b=1"],
        ["--set", "a.b=1", "thing", "make", "x", "--quiet", "--count", "3"],
        ["thing", "make", "--set", "a.b=0", "--set", "a.b=1", "-q", "--count", "3", "x"],
        ["--set", "a.b=0", "thing", "make", "--set", "a.b=1", "-q", "--count", "3", "x"],
    ],
)
def test_common_options_are_understood_before_and_after_the_command(arguments: list[str]) -> None:
    seen: list[tuple[Invocation, str, int]] = []
    result = CliRunner().invoke(program(seen), arguments)
    assert result.exit_code == 0, result.output
    ((invocation, name, count),) = seen
    assert (name, count) == ("x", 3)
    assert invocation._quiet
    assert invocation._overrides == {"a.b": "1"}


def test_the_help_is_the_prose_and_has_the_common_options() -> None:
    shown = CliRunner().invoke(program([]), ["thing", "make", "--help"]).output
    assert "Make a thing." in shown
    assert "--json" in shown
    assert "Raises" not in shown


def test_a_command_without_an_invocation_is_refused() -> None:
    with pytest.raises(TypeError, match="takes an Invocation first"):

        @command(typer.Typer())
        def wrong(name: str) -> None: ...


def test_settings_are_fixed_once_they_were_asked_for() -> None:
    invocation = Invocation()
    invocation.override({"spark.master": "local[1]", "batch.tasks": None})
    assert invocation.settings.spark.master == "local[1]"
    assert invocation.settings.batch.tasks is None
    with pytest.raises(RuntimeError, match="resolved already"):
        invocation.override({"spark.master": "local[2]"})
