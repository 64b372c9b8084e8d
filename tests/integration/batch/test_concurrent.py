"""Runs at once: into one scope there is one set of rows, never two; into two scopes both have theirs."""

import contextlib
from collections import Counter
from typing import Any

import pytest

from jobs.batch.publication import publish
from jobs.batch.publication.settlement import add_rejects
from scoretrail.errors import ConflictError, ExitCode
from tests.factory.driver import Driver, await_ready
from tests.factory.workshop import InlineEngine, Workshop, records, with_values

#: At the commit both have planned, scored and looked at the guard: the narrowest place there is.
AT_ONCE = (
    "at the commit",
    "between the commits",
    pytest.param("before publishing", marks=pytest.mark.slow),
    pytest.param("before scoring", marks=pytest.mark.slow),
)


def race(shop: Workshop, specs: dict[str, dict[str, Any]], at: str) -> dict[str, dict[str, Any]]:
    """Let processes run up to a step, then go on together; return what each of them printed."""
    meet = shop.folder / "meet"
    meet.mkdir(parents=True)
    drivers = {name: Driver(shop, name=name, at=at, act="wait", meet=str(meet), **spec) for name, spec in specs.items()}
    with contextlib.ExitStack() as stack:
        for driver in drivers.values():
            stack.enter_context(driver)
        await_ready(meet, drivers)
        (meet / "go").touch()
        results = {name: driver.finish() for name, driver in drivers.items()}
    assert {code for code, _ in results.values()} == {0}, results
    return {name: answer for name, (_, answer) in results.items()}


def assert_one_set(shop: Workshop, rows: int, refused: set[int]) -> None:
    """Look that each parcel has one score or one reject, and that the rejects belong to the run that is published."""
    scored, rejects = shop.rows(), shop.rejects()
    counted = Counter(scored["source_row"].to_pylist()) + Counter(rejects["source_row"].to_pylist())
    assert counted == Counter(range(rows))
    assert set(rejects["source_row"].to_pylist()) == refused
    assert len(set(scored["run_id"].to_pylist())) == 1
    assert set(rejects["run_id"].to_pylist()) <= set(scored["run_id"].to_pylist())
    assert len(set(scored["model_version"].to_pylist())) == 1


@pytest.mark.parametrize("at", AT_ONCE)
def test_the_same_model_into_an_empty_scope(shop: Workshop, at: str) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 60))
    answers = race(shop, {"a": {"request": {"run_id": "a"}}, "b": {"request": {"run_id": "b"}}}, at)
    assert sorted(answer["status"] for answer in answers.values()) == ["published", "unchanged"]
    assert_one_set(shop, 60, {3})


@pytest.mark.parametrize("at", AT_ONCE)
def test_different_models_into_an_empty_scope(shop: Workshop, at: str) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 60))
    specs = {"a": {"model": "models:/parcel/1.0.0"}, "b": {"model": "models:/parcel/2.0.0"}}
    answers = race(shop, specs, at)
    assert [answer["status"] for answer in answers.values()] == ["published"] * 2  # the slower one on top of the other
    assert sum(answer["files"]["removed"] for answer in answers.values()) == 1
    assert_one_set(shop, 60, {3})


def test_the_same_command_twice_is_one_run(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 60))
    answers = race(shop, {"a": {}, "b": {}}, "at the commit")
    assert "published" in {answer["status"] for answer in answers.values()}
    assert_one_set(shop, 60, {3})
    assert shop.score().status == "unchanged"


@pytest.mark.parametrize("at", ["at the commit", pytest.param("before publishing", marks=pytest.mark.slow)])
def test_two_days_and_two_roles_do_not_wait_for_each_other(shop: Workshop, at: str) -> None:
    for i in range(2):
        shop.write(f"ds={i}/a.parquet", with_values("weight_kg", {i: -1.0}, 60, i * 60))
    specs = {
        "a": {"request": {"slices": ["ds=0"]}, "settings": {"batch.conflict_attempts": 1}},
        "b": {
            "request": {"slices": ["ds=1"]},
            "settings": {"batch.conflict_attempts": 1},
            "model": "models:/parcel@challenger",
        },
    }
    answers = race(shop, specs, at)
    assert [answer.get("status") for answer in answers.values()] == ["published"] * 2, answers
    assert Counter(shop.rows()["ds"].to_pylist()) == {"0": 59, "1": 59}
    assert sorted(shop.rejects()["ds"].to_pylist()) == ["0", "1"]


@pytest.mark.slow
def test_two_sparks_into_one_scope(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 60))
    specs = {
        "a": {"model": "models:/parcel/1.0.0", "engine": "spark"},
        "b": {"model": "models:/parcel/2.0.0", "engine": "spark"},
    }
    race(shop, specs, "at the commit")
    assert_one_set(shop, 60, {3})


class Rival:
    """Publishes into the scope just before somebody else does, as often as it is told to."""

    def __init__(self, shop: Workshop, monkeypatch: pytest.MonkeyPatch, times: int, models: list[str]) -> None:
        self._original = publish.publish
        self._rival = Workshop(shop.folder, shop.registry, InlineEngine())  # type: ignore[arg-type]
        self._models = models[:times]
        self._patch = monkeypatch
        monkeypatch.setattr(publish, "publish", self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._models:
            self._patch.setattr(publish, "publish", self._original)
            self._rival.score(self._models.pop(0))
            self._patch.setattr(publish, "publish", self)
        return self._original(*arguments, **options)


class CountingEngine(InlineEngine):
    """Counts how often work was given out."""

    runs = 0

    def run(self, *arguments: Any) -> list[Any]:
        self.runs += 1
        return super().run(*arguments)


def test_a_scope_that_moved_is_planned_again_and_not_scored_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("ds=1/a.parquet", records(30))
    shop.engine = CountingEngine()  # type: ignore[assignment]
    Rival(shop, monkeypatch, 1, ["models:/parcel/2.0.0"])
    run = shop.score()
    assert (run.status, run.files["removed"], shop.engine.runs) == ("published", 1, 1)  # type: ignore[attr-defined]
    assert set(shop.rows()["model_version"].to_pylist()) == {"1.0.0"}
    assert run.scopes == {scope: {**entry, "guard": 1} for scope, entry in run.scopes.items()}


def test_a_scope_that_moves_again_and_again_ends_in_try_later(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("ds=1/a.parquet", records(30))
    Rival(shop, monkeypatch, 9, ["models:/parcel/2.0.0", "models:/parcel/1.1.0"] * 5)
    with pytest.raises(ConflictError, match="another run published into the same scope") as caught:
        shop.score()
    assert caught.value.exit_code is ExitCode.RETRY
    commits = [entry for entry in shop.table().history() if "scoretrail.run_id" in entry]
    assert len(commits) == 3  # the rival's, one for each of our attempts
    assert set(shop.rows()["model_version"].to_pylist()) == {"2.0.0"}
    monkeypatch.undo()
    assert shop.score().status == "published"  # the same command takes its run up


def test_rejects_of_a_run_that_lost_after_publishing_them_are_put_right(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser adds its rejects between the winner's two commits, and goes on when the winner is done."""
    shop.write("ds=1/a.parquet", with_values("weight_kg", dict.fromkeys(range(60), -1.0), 60))
    shop.write("ds=1/b.parquet", with_values("weight_kg", {3: -1.0}, 60, 60))
    anything = {"batch.max_reject_ratio": 1.0}

    def then_the_loser(*arguments: Any) -> None:
        add_rejects(*arguments)
        if not loser.saw:
            loser.begin()

    loser = Loser(shop, anything)
    monkeypatch.setattr(publish, "add_rejects", then_the_loser)
    run = shop.score(run_id="a", settings=anything)
    assert run.rows["rejected"] == 61
    assert loser.saw == {"a", "b"}
    assert set(shop.rejects()["run_id"].to_pylist()) == {"a"}  # the winner has put it right
    assert loser.end() == "unchanged"
    assert shop.rejects().num_rows == 61
    assert set(shop.rejects()["run_id"].to_pylist()) == {"a"}


class Loser:
    """A process that publishes its rejects when it is told to begin, and goes on when it is told to end."""

    def __init__(self, shop: Workshop, settings: dict[str, Any]) -> None:
        self._shop, self._settings = shop, settings
        self._meet = shop.folder / "meet"
        self._driver: Driver | None = None
        self.saw: set[str] = set()

    def begin(self) -> None:
        self._meet.mkdir()
        request = {"run_id": "b"}
        at = "between the commits"
        self._driver = Driver(
            self._shop, name="b", at=at, act="wait", meet=str(self._meet), settings=self._settings, request=request
        )
        await_ready(self._meet, {"b": self._driver})
        self.saw = set(self._shop.rejects()["run_id"].to_pylist())

    def end(self) -> str:
        assert self._driver is not None
        (self._meet / "go").touch()
        code, answer = self._driver.finish()
        assert code == 0
        return str(answer["status"])
