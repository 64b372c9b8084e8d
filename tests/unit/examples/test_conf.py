"""The deployment's configuration loads, and says only what differs or is worth a word."""

from pathlib import Path

import pytest

from scoretrail import config
from scoretrail.errors import ConfigurationError

CONF = Path(__file__).parents[3] / "conf"
ENVIRONMENTS = sorted(path.stem for path in (CONF / "env").glob("*.yaml"))


def test_the_settings_of_this_deployment_load() -> None:
    resolved = config.load(folder=CONF)
    assert resolved.settings.registry.uri == ".scoretrail/registry"
    assert set(resolved.origins.values()) == {str(CONF / "base.yaml")}


def test_there_is_an_example_of_an_environment() -> None:
    assert "prod" in ENVIRONMENTS


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_goes_over_the_base(name: str) -> None:
    resolved = config.load(folder=CONF, environment=name)
    over = str(CONF / "env" / f"{name}.yaml")
    assert resolved.origins["registry.uri"] == over
    assert resolved.origins["batch.retention_days"] == str(CONF / "base.yaml")
    assert resolved.settings.registry.uri.startswith("s3://")


def test_an_environment_says_nothing_that_the_base_says_already() -> None:
    base, prod = (dict(_values(config.load(folder=CONF, environment=name))) for name in (None, "prod"))
    over = str(CONF / "env" / "prod.yaml")
    chosen = config.load(folder=CONF, environment="prod").origins
    repeated = [name for name, origin in chosen.items() if origin == over and base.get(name) == prod[name]]
    assert repeated == []


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    text = (CONF / "base.yaml").read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(text.replace("retention_days", "retention_day"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"did you mean batch\.retention_days"):
        config.load(folder=tmp_path)


def _values(resolved: config.ResolvedSettings) -> list[tuple[str, object]]:
    return [(name, value) for name, value, _ in resolved.rows()]
