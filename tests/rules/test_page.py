"""The pages are true: every command in the tutorial and the how-to pages is run, and what they show comes out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules import page
from tests.rules.page import Step
from tests.rules.source import ROOT

HOW_TO = ROOT / "docs" / "how-to"
REGISTER = HOW_TO / "register-a-model.md"
#: Pages that go on in the folder of the first one; each leaves it as the others need it.
AFTER_IT = (
    "write-a-feature-view.md",
    "read-the-tables.md",
    "audit-a-score.md",
    "score-a-dataframe.md",
    "score-and-backfill.md",
    "operate.md",
    "add-a-stored-feature.md",
    "add-an-event-type.md",
    "sign-bundles.md",
    "watch-for-drift.md",
    "join-outcomes.md",
    "model-health.md",
)
#: Pages that show commands only: what they need is not there in a test of this kind.
NOT_RUN = {
    "alerts.md",
    "archive-and-audit-a-stream.md",
    "operate-the-stream.md",
    "redrive-dead-letters.md",
    "run-a-challenger.md",
    "run-on-a-cluster.md",
    "run-services.md",
    "schedule-with-airflow.md",
    "secure-the-stream.md",
}
LIMIT_S = 900


@pytest.mark.integration
@pytest.mark.timeout(LIMIT_S + 60)
def test_a_model_is_registered_and_used_by_following_the_page_alone(tmp_path: Path) -> None:
    assert page.untrue(page.run(REGISTER.read_text(encoding="utf-8"), tmp_path, LIMIT_S)) == []


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(3 * LIMIT_S)
def test_the_other_how_to_pages_go_on_from_there(tmp_path: Path) -> None:
    for name in (REGISTER.name, *AFTER_IT):
        text = (HOW_TO / name).read_text(encoding="utf-8")
        assert (name, page.untrue(page.run(text, tmp_path, LIMIT_S))) == (name, [])


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(2 * LIMIT_S)
def test_the_tutorial_goes_on_from_the_demo(tmp_path: Path) -> None:
    for folder in ("examples", "features", "conf", "locks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    demo = [str(Path(sys.executable).with_name("scoretrail")), "demo"]
    subprocess.run(demo, cwd=tmp_path, check=True, capture_output=True, timeout=LIMIT_S)
    text = (ROOT / "docs" / "tutorial" / "first-run.md").read_text(encoding="utf-8")
    assert page.untrue(page.run(text, tmp_path, LIMIT_S)) == []


def test_every_how_to_page_is_run() -> None:
    assert {path.name for path in HOW_TO.glob("*.md")} - NOT_RUN == {REGISTER.name, *AFTER_IT}


def test_the_steps_of_a_page_are_its_commands_with_their_output() -> None:
    text = "```sh\na\n```\nand\n```text\nb\n```\n```shell\nnever\n```\n```sh\nc\n```\n"
    assert page.steps(text) == [Step("a\n", "b\n"), Step("c\n", None)]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("rows  3\n", "head\nrows  3\ntail\n"),
        ("rows  …\n", "rows  28,135\n"),
        ("a\n…\nd\n", "a\nb\nc\nd\n"),
        ("a\n…\nb\n", "a\nb\n"),
    ],
)
def test_an_output_that_came_out_is_recognised(shown: str, printed: str) -> None:
    assert page.matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("rows  3\n", "rows  30\n"),
        ("rows  3\n", "rows 3\n"),
        ("a\nb\n", "a\nc\nb\n"),
        ("a\n…\nd\n", "a\nb\n"),
        ("a\n", ""),
    ],
)
def test_an_output_that_did_not_come_out_is_recognised(shown: str, printed: str) -> None:
    assert not page.matches(shown, printed)


def test_a_page_is_run_in_one_shell(tmp_path: Path) -> None:
    text = "```sh\nexport A=1\necho one\n```\n```text\none\n```\n```sh\necho $A\n```\n```text\n2\n```\n"
    outcome = page.run(text, tmp_path, 60)
    assert [printed for _, printed in outcome] == ["one\n", "1\n"]
    assert len(page.untrue(outcome)) == 1


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code 3 in\nexit 3"):
        page.run("```sh\necho fine\n```\n```sh\nexit 3\n```\n```sh\necho never\n```\n", tmp_path, 60)
