"""What Prometheus is asked, and what is made of its answers, or of none; a real one is asked in tests/integration."""

import re
import time
from typing import Any

import pytest

from jobs.health import prometheus
from jobs.health.prometheus import Prometheus, alerts, flows
from jobs.stream.operation import metrics
from scoretrail.errors import RetryLaterError
from tests.factory.answering import answering
from tests.factory.health import MODEL


def vector(*series: tuple[str, str]) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {"role": role}, "value": [0, text]} for role, text in series]}


def alert(name: str, **changes: Any) -> dict[str, Any]:
    labels = {"alertname": name, "severity": "page", "model": MODEL, "role": "champion"} | changes.pop("labels", {})
    found = {"labels": labels, "annotations": {"summary": f"{name} happened"}, "state": "firing", "value": "1"}
    return found | {"activeAt": "2013-12-31T11:00:00.5Z"} | changes


def test_each_role_has_its_figures_and_what_is_no_number_is_none() -> None:
    def answer(_: str, query: str) -> Any:
        if query.startswith("histogram_quantile"):
            return vector(("champion", "NaN"))
        return vector(("challenger", "2"), ("champion", "3.5")) if "lag_seconds" in query else vector(("champion", "7"))

    with answering(answer) as url:
        champion, challenger = flows(Prometheus(url), MODEL)
    assert (champion.role, champion.lag_s, champion.workers, champion.p95_s) == ("champion", 3.5, 7.0, None)
    assert (challenger.role, challenger.lag_s, challenger.workers) == ("challenger", 2.0, None)


def test_every_query_is_about_the_model_and_names_metrics_that_workers_tell() -> None:
    told = {f"{metrics.PREFIX}{one.name}" for one in metrics.TABLE}
    asked: list[str] = []

    def answer(_: str, query: str) -> Any:
        asked.append(query)
        return vector()

    with answering(answer) as url:
        assert flows(Prometheus(url), MODEL) == ()
    assert len(asked) == 8
    for query in asked:
        assert f'model_info{{model="{MODEL}"}}' in query
        named = {name.removesuffix("_bucket") for name in re.findall(rf"{prometheus.PREFIX}\w+", query)}
        assert named <= told


def test_open_alerts_are_those_of_the_model_and_of_none_the_firing_ones_first() -> None:
    found = [
        alert("Waits", state="pending"),
        alert("Mine", labels={"severity": "ticket"}),
        alert("Worst"),
        alert("Foreign", labels={"model": "another"}),
        alert("ScoretrailWatchdog", labels={"severity": "none"}),
        {"labels": {"alertname": "Disk"}, "annotations": {}, "state": "firing"},
    ]
    with answering(lambda *_: {"alerts": found}) as url:
        open_ = alerts(Prometheus(url), MODEL)
    assert [(one.name, one.state, one.severity) for one in open_] == [
        ("Disk", "firing", ""),
        ("Worst", "firing", "page"),
        ("Mine", "firing", "ticket"),
        ("Waits", "pending", "page"),
    ]
    assert (open_[1].summary, open_[1].role, open_[0].role, open_[0].since) == (
        "Worst happened",
        "champion",
        None,
        None,
    )


@pytest.mark.parametrize(
    "body", [b"<html>a proxy</html>", b"", b'{"status": "error"}', b'{"status": "success", "data": {}}', b"[]"]
)
def test_an_answer_that_is_none_is_an_error_of_ours(body: bytes) -> None:
    with answering(lambda *_: body) as url:
        for ask in (lambda: Prometheus(url).alerts(), lambda: Prometheus(url).query("up")):
            with pytest.raises(RetryLaterError, match="does not answer") as caught:
                ask()
            assert caught.value.where == url


def test_nobody_answers() -> None:
    with pytest.raises(RetryLaterError, match="does not answer"):
        Prometheus("http://127.0.0.1:9").query("up")


def test_the_deadline_is_for_all_questions_together() -> None:
    def slow(*_: str) -> Any:
        time.sleep(0.2)
        return vector()

    with answering(slow) as url:
        began = time.monotonic()
        with pytest.raises(RetryLaterError):
            flows(Prometheus(url, deadline_s=0.5), MODEL)
        assert time.monotonic() - began < 1.5
