"""The documentation holds together: pages are found, words are one for each thing, commands and settings exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from jobs.cli import app
from jobs.reference.page import anchor
from scoretrail.config import Settings
from tests.rules.source import ROOT
from tests.rules.test_repository import FENCE, LINK, TARGET

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SECTIONS = ["Context", "Options", "Choice", "Consequence", "How we would know that it was wrong"]

HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
INLINE = re.compile(r"`(?P<code>[^`\n]+)`")
CALL = re.compile(r"(?:^|[\s(|$])scoretrail (?P<words>[a-z-][^\n|&;>#)]*)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_of(text: str) -> list[str]:
    """Return the lines of code of a page: blocks, continued lines joined, and code in sentences."""
    blocks = [match.group().replace("\\\n", " ") for match in FENCE.finditer(text)]
    lines = [line for block in blocks for line in block.splitlines()[1:-1]]
    return lines + [match["code"] for match in INLINE.finditer(FENCE.sub("", text).replace("\n", " "))]


def unknown_calls(lines: list[str]) -> list[str]:
    """Return the calls of ``scoretrail`` that name a command or an option which is not there."""
    found = []
    for line in lines:
        for match in CALL.finditer(line):
            problem = problem_of(match["words"])
            if problem:
                found.append(f"scoretrail {match['words'].strip()}: {problem}")
    return found


def problem_of(words: str) -> str | None:
    try:
        rest = shlex.split(words.replace("…", ""))
    except ValueError:
        rest = words.split()
    node: Any = get_command(app)
    options = names_of(node)
    while rest and hasattr(node, "commands"):
        word = rest.pop(0)
        if word.startswith("-"):
            if word not in options:
                return f"no option {word}"
            continue
        if word not in node.commands:
            return f"no command {word}"
        node = node.commands[word]
    known = options | names_of(node)
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


def names_of(node: Any) -> set[str]:
    """Return the names of a command's options, of switches both."""
    return {name for parameter in node.params for name in (*parameter.opts, *parameter.secondary_opts)}


def settings(model: Any = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all sections and settings."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if hasattr(field.annotation, "model_fields"):
            yield from settings(field.annotation, f"{prefix}{name}.")


def unknown_settings(lines: list[str]) -> list[str]:
    """Return what looks like a setting and is none; below the mappings any name will do, and calls are code."""
    known = set(settings())
    sections = "|".join(Settings.model_fields)
    name = re.compile(rf"(?<![\w./-])(?:{sections})(?:\.[a-z0-9_]+)+\b(?![(])")
    named = {match.group() for line in lines for match in name.finditer(line)} - known
    others = re.compile(r".*\.(json|py|onnx|sig|yaml|yml|xml)|(spark|storage\.options)\..*")
    return sorted(one for one in named if not others.fullmatch(one))


def missing_anchors(page: Path, text: str) -> list[str]:
    """Return the links whose fragment is no heading of the page that they lead to."""
    found = []
    for match in LINK.finditer(FENCE.sub("", text)):
        target, hash_, fragment = match["target"].partition("#")
        if not hash_ or re.match(r"[a-z]+:", target):
            continue
        there = FENCE.sub("", text_of(page.parent / target) if target else text)
        if fragment not in {anchor(heading["text"].replace("`", "")) for heading in HEADING.finditer(there)}:
            found.append(match["target"])
    return found


def reachable(start: Path) -> set[Path]:
    """Return the pages that links lead to, one after the other."""
    seen, todo = set(), [start]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = [match["target"].partition("#")[0] for match in LINK.finditer(FENCE.sub("", text_of(page)))]
        todo += [(page.parent / target).resolve() for target in targets if target and not re.match(r"[a-z]+:", target)]
    return seen


def glossary() -> list[tuple[str, str]]:
    """Return the words of the glossary, each with the words that are not used for it."""
    rows = re.findall(r"^\| \*\*(.+?)\*\*.*?\|.*\|(.*?)\|$", text_of(DOCS / "glossary.md"), re.MULTILINE)
    return [(word, instead.strip()) for word, instead in rows]


def test_every_page_is_found_from_the_readme() -> None:
    assert set(PAGES) - reachable(ROOT / "README.md") == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_commands_options_settings_and_headings_that_exist(page: Path) -> None:
    text = COMMENT.sub("", text_of(page))
    lines = code_of(text)
    assert unknown_calls(lines) == []
    assert unknown_settings(lines) == []
    assert missing_anchors(page, text) == []


def test_a_make_target_that_a_page_names_exists() -> None:
    targets = {match["name"] for match in TARGET.finditer(text_of(ROOT / "Makefile"))}
    named = {
        name for page in PAGES for line in code_of(text_of(page)) for name in re.findall(r"\bmake ([a-z-]+)", line)
    }
    assert named - targets == set()
    assert {"demo", "test"} <= named


@pytest.mark.parametrize(
    "line",
    ["scoretrail batch skore --model x", "$ scoretrail batch score --modle x", "scoretrail --loud runs list"],
)
def test_a_call_that_does_not_exist_is_found(line: str) -> None:
    assert unknown_calls([line])


@pytest.mark.parametrize(
    "line",
    [
        "scoretrail batch score --model x --where \"a = 'b'\" --json",
        "cd scoretrail && make",
        "pip install 'scoretrail[signing]'",
        "scoretrail -q runs list",
    ],
)
def test_a_call_that_exists_is_left_alone(line: str) -> None:
    assert unknown_calls([line]) == []


def test_a_setting_that_does_not_exist_is_found() -> None:
    assert unknown_settings(
        ["set batch.split_mb=64", "batch.split_mib", "model.onnx", "registry.budget.max_load_s"]
    ) == ["batch.split_mb"]


def test_a_link_to_no_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `thing`\n")
    text = "# Here\n[a](#here) [b](#there) [c](other.md#one-thing) [d](other.md#two)\n"
    assert missing_anchors(tmp_path / "page.md", text) == ["#there", "other.md#two"]


def test_records_of_decisions_are_numbered_complete_and_listed() -> None:
    records = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in records] == [f"{n:04d}" for n in range(1, len(records) + 1)]
    index = " ".join(text_of(DOCS / "decisions" / "README.md").split())
    for path in records:
        headings = [match["text"] for match in HEADING.finditer(FENCE.sub("", text_of(path)))]
        assert headings[1:] == SECTIONS, path.name
        number, _, title = headings[0].partition(" ")
        assert path.name.startswith(f"{number}-")
        assert f"[{number}]({path.name}) | {title} |" in index


def test_the_glossary_has_one_entry_for_a_word_in_order() -> None:
    words = [word.lower() for word, _ in glossary()]
    assert len(words) > 40
    assert words == sorted(set(words))


def test_every_word_of_the_glossary_is_used() -> None:
    others = [path for path in PAGES if path.name != "glossary.md"]
    told = " ".join(" ".join(text_of(path).split()).lower().replace("*", "") for path in others)
    words = [part for word, _ in glossary() for part in word.lower().split(", ")]
    assert [word for word in words if word not in told] == []


def test_no_page_uses_another_word_for_a_thing() -> None:
    instead = [word.strip() for _, words in glossary() for word in words.split(",") if word.strip()]
    assert instead
    found = [
        (page.relative_to(ROOT).as_posix(), word)
        for page in PAGES
        if page.name != "glossary.md"
        for word in instead
        if re.search(rf"\b{re.escape(word)}s?\b", FENCE.sub("", text_of(page)), re.IGNORECASE)
    ]
    assert found == []
