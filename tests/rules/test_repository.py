"""The repository explains itself: links, Makefile, README and scripts hold, and no machine is named."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.rules.source import ROOT, tracked_files, tracked_text

#: Put together here, so that this file does not hold what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1", "maven"),
        ("repo", "maven", "apache"),
        ("registry", "npmjs"),
        ("proxy", "golang"),
        ("deb", "debian", "org"),
        ("crates", "io"),
    )
)
MACHINE_PATH = re.compile(
    r"(?<![\w.$}/~-])/(?:work|root|home/[a-z]\w*|Users/[A-Za-z]\w*)(?=[/\s\"'`),;:]|$)", re.MULTILINE
)

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^(?P<name>[a-z][a-z0-9-]*):(?!=)", re.MULTILINE)


def machine_marks(text: str) -> list[str]:
    """Return the registry hosts and the absolute paths of a machine that the text names."""
    return [host for host in REGISTRY_HOSTS if host in text] + MACHINE_PATH.findall(text)


def broken_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a Markdown page that lead nowhere; code blocks do not count."""
    targets = [match["target"] for match in LINK.finditer(FENCE.sub("", text))]
    relative = [target for target in targets if not re.match(r"[a-z]+:|#", target)]
    return [target for target in relative if not (page.parent / target.partition("#")[0]).exists()]


def undocumented(makefile: str, help_text: str) -> set[str]:
    """Return the targets that ``make help`` does not list."""
    listed = {line.split()[0] for line in help_text.splitlines() if line.strip()}
    return {match["name"] for match in TARGET.finditer(makefile)} - listed


def first_commands(readme: str) -> list[str]:
    """Return the commands of the first code block, without comments."""
    block = re.search(r"^```\w*\n(?P<body>.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = block["body"].splitlines() if block else []
    commands = [line.partition("#")[0].strip().removeprefix("$ ") for line in lines]
    return [command for command in commands if command]


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert {name: marks for name, text in tracked_text() if (marks := machine_marks(text))} == {}


@pytest.mark.parametrize("bad", [f"index = https://{REGISTRY_HOSTS[0]}/simple", "see /" + "work/main", "cd /" + "root"])
def test_a_machine_mark_is_found(bad: str) -> None:
    assert machine_marks(bad)


@pytest.mark.parametrize("good", ["$SPARK_HOME/work/", "tests/work", "/usr/lib/jvm", "a/root", "/rooted"])
def test_an_ordinary_path_is_left_alone(good: str) -> None:
    assert machine_marks(good) == []


PAGES = [path for path in tracked_files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](nowhere.md) [b](LICENSE) [c](https://a.example) [d](#here)\n```\n[e](in-code.md)\n```\n"
    assert broken_links(ROOT / "README.md", text) == ["nowhere.md"]


def test_the_makefile_explains_itself() -> None:
    run = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert undocumented(makefile, run.stdout) == set()
    assert "demo" in run.stdout
    default = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert default.stdout == run.stdout


def test_an_undocumented_target_is_found() -> None:
    assert undocumented("NAME := 1\nall: ## Say\nsecret: all\n\ttrue\n", "  all   Say\n") == {"secret"}


def test_the_readme_begins_with_the_demo_and_the_tests() -> None:
    assert first_commands((ROOT / "README.md").read_text(encoding="utf-8"))[:2] == ["make demo", "make test"]


def test_commands_are_read_from_the_first_block_only() -> None:
    readme = "# T\n```bash\n# first\nmake demo   # all of it\n\n$ make test\n```\n```bash\nmake build\n```\n"
    assert first_commands(readme) == ["make demo", "make test"]


@pytest.mark.parametrize("script", ["scripts/setup.sh", "scripts/java_home.sh", ".ci/run"])
def test_a_script_can_be_run_and_parsed(script: str) -> None:
    shell = (ROOT / script).read_text(encoding="utf-8").splitlines()[0].rpartition("/")[2].split()[-1]
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run([shell, "-n", str(ROOT / script)], check=True, timeout=60)
