"""The page as a file: valid, small, escaped, readable without colours and without sight."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest

from jobs.health import page
from jobs.health.fact import Alert, DriftSeries, Facts, Flow, Volume
from jobs.health.gathering import Subject, gather
from jobs.health.page import render
from jobs.health.report import report
from scoretrail.errors import DependencyError
from tests.factory.health import CLOCK, MODEL, Ward, assessment, column, verdict

LIMIT_BYTES = 200_000
NASTY = "\"><script>alert('x')</script>&<img src=x onerror=1>"
VOID = {"meta", "br", "circle", "path", "rect", "img", "link", "input"}


class Page(HTMLParser):
    """What is on a page; text that is not well formed fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.children: list[tuple[str, str]] = []
        self.headings: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        assert len({name for name, _ in attrs}) == len(attrs), "an attribute twice"
        self.attributes.append((tag, dict(attrs)))
        self.children.append((self.open[-1] if self.open else "", tag))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings.append((self.open[-1], data))

    def all(self, name: str) -> list[str]:
        return [found[name] or "" for _, found in self.attributes if name in found]


def filled(ward: Ward) -> Facts:
    """Return facts with something in every section."""
    ward.move("challenger", "2.0.0", day=1)
    ward.move("champion", "1.1.0", day=2)
    ward.move("champion", "1.0.0", day=3)
    ward.run(judged=verdict())
    ward.run("refused")
    ward.run("held", verdict("drift", confirmed=["weight"]))
    ward.run("unfinished")
    part = assessment("segment", segment={"column": "carrier", "value": "SEA"})
    ward.join(1, performance=[assessment(level="warn"), assessment("history"), assessment("history", 1), part])
    found = gather(Subject(model=MODEL, table=ward.table, labelled=ward.labelled), ward.registry, ward.settings, CLOCK)
    lag = Alert(
        name="ScoretrailStreamLag",
        state="firing",
        severity="page",
        role="champion",
        since="2013-12-31T11:00:00Z",
        summary="Workers are behind",
        runbook_url=None,
    )
    return replace(
        found,
        alerts=(lag, replace(lag, name="Waits", state="pending")),
        flows=(Flow(role="champion", workers=2, lag_s=3.0, p95_s=0.2),),
        volumes=tuple(
            Volume(day=f"2013-12-{day}", role="champion", version="1.0.0", rows=9, counted=8) for day in (1, 2)
        ),
        archived_at="2013-12-31T11:58:00.000000Z",
    )


def shown(facts: Facts, runbooks: str | None = None) -> str:
    return render(report(facts), runbooks)


def test_the_page_is_well_formed_and_has_what_readers_of_pages_need(ward: Ward) -> None:
    text = shown(filled(ward))
    assert text.startswith("<!DOCTYPE html>")
    found = Page(text)
    for name in ("html", "head", "header", "nav", "main", "footer", "h1"):
        assert found.tags[name] == 1, name
    assert found.children.count(("head", "title")) == 1
    ids = found.all("id")
    assert len(set(ids)) == len(ids)
    for name in ("aria-labelledby", "aria-describedby"):
        assert set(found.all(name)) <= set(ids)
    links = [link.removeprefix("#") for link in found.all("href") if link.startswith("#")]
    assert set(links) <= set(ids)
    assert dict(found.attributes)["html"]["lang"] == "en"
    levels = [int(heading[1]) for heading, _ in found.headings]
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is left out"


def test_tables_have_captions_and_scopes_and_pictures_have_titles(ward: Ward) -> None:
    found = Page(shown(filled(ward)))
    assert found.tags["table"] > 8
    assert found.children.count(("table", "caption")) == found.tags["table"]
    assert all(values.get("scope") in {"col", "row"} for tag, values in found.attributes if tag == "th")
    assert found.tags["svg"] > 5
    assert found.children.count(("svg", "title")) == found.children.count(("svg", "desc")) == found.tags["svg"]


def test_nothing_runs_and_nothing_is_fetched(ward: Ward) -> None:
    text = shown(filled(ward), "https://docs.example/runbooks")
    found = Page(text)
    assert found.tags.keys() & {"script", "link", "iframe", "object", "embed", "img", "form"} == set()
    assert not [name for _, values in found.attributes for name in values if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text, "and a browser is told to hold it to that"
    assert {link for link in found.all("href") if not link.startswith("#")} == {
        f"https://docs.example/runbooks/{name}.md"
        for name in ("ScoretrailStreamLag", "ScoretrailBatchRefused", "ScoretrailBatchHeld", "ScoretrailConceptDrift")
    } | {"https://docs.example/runbooks/ScoretrailDriftConfirmed.md"}


def test_the_top_says_in_one_line_whether_something_is_wrong(ward: Ward) -> None:
    text = shown(filled(ward))
    assert "<title>Act now: model health of parcel</title>" in text
    top = text[text.index("<header>") : text.index("</header>")]
    assert re.search(r"Act now:</strong> Workers are behind, and \d other things", top)
    well = gather(Subject(model=MODEL), ward.registry, ward.settings, CLOCK)
    assert "<title>All is well: model health of parcel</title>" in shown(well)


def test_without_a_base_a_runbook_is_named_and_not_linked(ward: Ward) -> None:
    text = shown(filled(ward))
    assert "docs/runbooks/ScoretrailBatchHeld.md" in text
    assert not [link for link in Page(text).all("href") if not link.startswith("#")]


def nasty(value: Any) -> Any:
    """Return facts of which every text is one that would break out of a page."""
    if isinstance(value, str):
        return NASTY if value not in KEPT and not re.match(r"\d{4}-\d\d", value) else value
    if isinstance(value, tuple):
        return tuple(map(nasty, value))
    if isinstance(value, dict):
        return {name: nasty(one) for name, one in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return replace(value, **{name: nasty(getattr(value, name)) for name in value.__dataclass_fields__})
    return value


#: What decides where a text is shown, and is never another's.
KEPT = {
    *("published", "unchanged", "held", "refused", "unfinished", "damaged"),
    *("ok", "warn", "drift", "not_enough_data", "read", "empty", "absent", "failed"),
    *("firing", "pending", "rolling", "history", "segment", "batch", "stream", "deployment", "rollback", "other"),
    *("champion", "registry", "scored table", "archive", "labelled table", "Prometheus", "roc_auc"),
}


def test_whatever_a_text_says_it_stays_text(ward: Ward) -> None:
    plain = filled(ward)
    text = shown(nasty(plain), "https://docs.example")
    assert text.count("&lt;script&gt;") > 30
    found = Page(text)
    expected = Page(shown(plain, "https://docs.example")).tags
    # A note of a figure is shown where there is one, and now there is one everywhere.
    assert {**found.tags, "br": 0, "small": 0} == {**expected, "br": 0, "small": 0}
    assert not [name for _, values in found.attributes for name in values if name.startswith("on")]


def test_no_setting_of_a_run_is_shown(ward: Ward) -> None:
    ward.run(settings={"storage": {"options": {"aws_secret_access_key": "s3cr3t"}}}, environment={"host": "the-host"})
    text = shown(gather(Subject(model=MODEL, table=ward.table), ward.registry, ward.settings, CLOCK))
    for word in ("s3cr3t", "aws_secret_access_key", "**********", "the-host"):
        assert word not in text


def test_a_hundred_runs_of_sixty_columns_in_both_sources_are_small(ward: Ward) -> None:
    for i in range(100):
        level = "drift" if i % 5 else "ok"
        columns = [column(f"a_column_with_a_long_name_{n}", 0.123456 * (n + i % 7), level) for n in range(60)]
        ward.run(judged=verdict(level, *columns))
    ward.join(1)
    found = gather(Subject(model=MODEL, table=ward.table, labelled=ward.labelled), ward.registry, ward.settings, CLOCK)
    (champion,) = found.series

    def of(source: Any, role: str) -> DriftSeries:
        return replace(champion, source=source, role=role)

    every = replace(found, series=tuple(of(*one) for one in SERIES))
    text = shown(every)
    assert len(text.encode()) < LIMIT_BYTES
    assert sum(f"name_{n}<" in text for n in range(60)) == 60, "of the first series all columns are there"
    assert "45 further columns" in text


SERIES = (("batch", "champion"), ("batch", "challenger"), ("stream", "champion"), ("stream", "challenger"))


def palettes() -> list[dict[str, str]]:
    """Return the colours of light and of dark by name."""
    css = resources.files("jobs.health").joinpath("page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def contrast(one: str, other: str) -> float:
    """Return how far apart two colours are (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(palette: dict[str, str]) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for text in ("text", "muted", "link", "good", "note", "bad"):
        for ground in ("back", "panel"):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    for line in ("stroke", "note", "bad", "muted"):
        for ground in ("panel", "band", "promise"):
            assert contrast(palette[line], palette[ground]) >= 3, (line, ground)


def test_without_jinja_the_failure_says_what_to_install(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(gather(Subject(model=MODEL), ward.registry, ward.settings, CLOCK))
    page._template.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    try:
        with pytest.raises(DependencyError, match="Jinja2") as caught:
            render(found)
    finally:
        page._template.cache_clear()
    assert "scoretrail[batch]" in str(caught.value.fix)
