"""What is generated is current: pages, rooms and contracts say what the code says today."""

import inspect
from pathlib import Path

import pytest
import yaml

from jobs.batch.output import ledger
from jobs.batch.plan import scope
from jobs.reference import build
from jobs.reference.docstring import of_module
from jobs.reference.event import emissions
from jobs.reference.meaning import MEANINGS
from jobs.reference.room import BEGIN, END, with_rooms
from scoretrail import config, errors, log
from scoretrail.errors import OutputTableError
from scoretrail.feature import schema, tensor
from scoretrail.feature.schema import FaultCode
from scoretrail.model import manifest, registry
from scoretrail.trail import label_join, run
from tests.rules.source import ROOT

CONTRACT = "contracts/flight-delay.odcs.yaml"


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return build.generated(ROOT)


def test_every_generated_file_is_current(generated: dict[str, str]) -> None:
    stale = [path for path, text in generated.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs-reference`"


def test_no_field_is_without_a_meaning(generated: dict[str, str]) -> None:
    pages = {path: text for path, text in generated.items() if path.startswith("docs/reference/")}
    bare = {
        path: [line for line in text.splitlines() if line.startswith("|") and "| – |" in line and "`" in line]
        for path, text in pages.items()
        if not path.endswith("errors.md")  # there a dash is the disposition stop
    }
    assert {path: lines for path, lines in bare.items() if lines} == {}


def test_no_meaning_is_left_of_a_field_that_is_gone() -> None:
    modules = (config, manifest, run, label_join, registry, schema, tensor, scope, ledger)
    known: dict[str, set[str]] = {"log": set(vars(log))}
    for module in modules:
        for name, cls in vars(module).items():
            if isinstance(cls, type) and name in MEANINGS:
                known[name] = set(inspect.get_annotations(cls))
    assert {name: stale for name, told in MEANINGS.items() if (stale := set(told) - known[name])} == {}


def test_the_pages_leave_nothing_out(generated: dict[str, str]) -> None:
    names = [name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")]
    assert [name for name in names if f"`{name}`" not in generated["docs/reference/errors.md"]] == []
    assert [code for code in FaultCode if f"`{code}`" not in generated["docs/reference/tables.md"]] == []


def test_every_event_is_logged_somewhere() -> None:
    """An event that nothing logs is a promise to whoever builds a dashboard on it."""
    constants = {name for name, value in vars(log).items() if name.isupper() and isinstance(value, str)}
    assert constants - {one.event for one in emissions(ROOT)} == set()


def test_the_rooms_are_the_docstrings(generated: dict[str, str]) -> None:
    page = generated[build.ARCHITECTURE]
    told = " ".join(of_module(ROOT / "scoretrail" / "scoring.py").split())
    assert f"`scoretrail/scoring.py`: {told}" in page
    for path in [*(ROOT / "scoretrail").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]:
        name = path.parent if path.name in {"__init__.py", "__main__.py"} else path
        assert f"`{name.relative_to(ROOT).as_posix()}" in page


def test_rooms_are_written_between_their_marks(tmp_path: Path) -> None:
    for package in ("scoretrail", "jobs"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f'"""The {package}."""\n')
    (tmp_path / "jobs" / "one.py").write_text('"""Does one\nthing.\n\nMore of it."""\n')
    page = with_rooms(f"above\n{BEGIN}\nold\n{END}\nbelow\n", tmp_path)
    rooms = "- `scoretrail/`: The scoretrail.\n- `jobs/`: The jobs.\n  - `jobs/one.py`: Does one thing."
    assert page == f"above\n{BEGIN}\n\n{rooms}\n\n{END}\nbelow\n"
    with pytest.raises(ValueError, match="lacks"):
        with_rooms("no marks", tmp_path)


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    files = {"docs/a.md": "a\n", "docs/b.md": "b\n"}
    assert build.write(files, tmp_path) == ["docs/a.md", "docs/b.md"]
    assert build.write(files, tmp_path) == []
    assert build.write(files | {"docs/b.md": "c\n"}, tmp_path) == ["docs/b.md"]
    assert (tmp_path / "docs" / "b.md").read_text() == "c\n"


def test_nothing_is_written_when_a_contract_would_break_its_readers(tmp_path: Path, generated: dict[str, str]) -> None:
    build.write(generated, tmp_path)
    broken = yaml.safe_load(generated[CONTRACT])
    broken["schema"][0]["properties"].pop(3)
    changed = generated | {CONTRACT: yaml.safe_dump(broken), "docs/reference/cli.md": "other\n"}
    with pytest.raises(OutputTableError, match="breaks whoever reads"):
        build.write(changed, tmp_path)
    assert (tmp_path / CONTRACT).read_text() == generated[CONTRACT]
    assert (tmp_path / "docs/reference/cli.md").read_text() == generated["docs/reference/cli.md"]
