from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from scoretrail import config
from scoretrail.config import ResolvedSettings
from scoretrail.errors import ConfigurationError

SECRET = "TOPSECRET"  # noqa: S105  (the word that must not be seen)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "env").mkdir(parents=True)
    return tmp_path / "conf"


def changed(resolved: ResolvedSettings) -> dict[str, tuple[Any, str]]:
    return {name: (value, origin) for name, value, origin in resolved.rows() if origin != "default"}


def refused(folder: Path, overrides: dict[str, Any] | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        config.load(overrides, folder=folder)
    return caught.value


def test_without_any_layer_everything_is_a_default(conf: Path) -> None:
    resolved = config.load(folder=conf)

    assert changed(resolved) == {}
    assert resolved.settings == config.Settings()
    assert {"batch.split_mib", "registry.budget.max_load_s", "spark.conf"} <= {name for name, _, _ in resolved.rows()}


def test_each_layer_wins_over_the_one_below_and_is_named_as_the_origin(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (conf / "base.yaml").write_text(
        "batch: {split_mib: 1, pack_files: 1, tasks: 1, batch_rows: 1}\nspark: {master: a}\n"
    )
    (conf / "env" / "prod.yaml").write_text("batch: {pack_files: 2, tasks: 2, batch_rows: 2}\n")
    secrets = conf.parent / "secrets"
    secrets.mkdir()
    (secrets / "batch__tasks").write_text("3\n")
    (secrets / "batch__batch_rows").write_text("3\n")
    monkeypatch.setenv("SCORETRAIL_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("SCORETRAIL__BATCH__BATCH_ROWS", "4")
    monkeypatch.setenv("SCORETRAIL__SPARK__MASTER", "b")

    resolved = config.load({"spark.master": "c", "log.level": None}, folder=conf, environment="prod")

    assert changed(resolved) == {
        "batch.split_mib": (1, str(conf / "base.yaml")),
        "batch.pack_files": (2, str(conf / "env" / "prod.yaml")),
        "batch.tasks": (3, str(secrets / "batch__tasks")),
        "batch.batch_rows": (4, "SCORETRAIL__BATCH__BATCH_ROWS"),
        "spark.master": ("c", "command line"),
    }


def test_folder_and_environment_come_from_the_environment(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf / "env" / "prod.yaml").write_text("log: {level: debug}\n")
    monkeypatch.setenv("SCORETRAIL_CONF", str(conf))
    monkeypatch.setenv("SCORETRAIL_ENV", "prod")

    assert config.load().settings.log.level == "debug"


def test_an_environment_without_a_file_is_refused(conf: Path) -> None:
    with pytest.raises(ConfigurationError, match="environment 'prod' has no settings") as caught:
        config.load(folder=conf, environment="prod")
    assert caught.value.expected == str(conf / "env" / "prod.yaml")


@pytest.mark.parametrize("text", ["", "# nothing\n", "batch:\n", "batch: {}\nspark:\n  conf:\n"])
def test_a_file_or_a_heading_with_nothing_below_it_sets_nothing(conf: Path, text: str) -> None:
    (conf / "base.yaml").write_text("batch: {tasks: 7}\n")
    (conf / "env" / "prod.yaml").write_text(text)

    assert changed(config.load(folder=conf, environment="prod")) == {"batch.tasks": (7, str(conf / "base.yaml"))}


@pytest.mark.parametrize(
    ("text", "name", "near"),
    [
        ("btach: {split_mib: 1}", "btach", "batch"),
        ("batch: {splitmib: 1}", "batch.splitmib", "batch.split_mib"),
        ("registry: {budget: {max_lod_s: 1}}", "registry.budget.max_lod_s", "registry.budget.max_load_s"),
        ("1: {a: 2}", "1", None),
    ],
)
def test_an_unknown_name_in_a_file_is_refused_and_the_nearest_is_named(
    conf: Path, text: str, name: str, near: str | None
) -> None:
    (conf / "base.yaml").write_text(text)

    error = refused(conf)

    assert error.what == f"there is no setting {name}"
    assert error.where == str(conf / "base.yaml")
    assert error.fix == (f"did you mean {near}?" if near else "`scoretrail config show` lists every setting")


@pytest.mark.parametrize(
    ("variable", "name", "near"),
    [
        ("SCORETRAIL__BTACH__SPLIT_MIB", "btach", "batch"),
        ("SCORETRAIL__BATCH__SPLITMIB", "batch.splitmib", "batch.split_mib"),
        ("SCORETRAIL__BATCHSPLIT_MIB", "batchsplit_mib", "batch"),
    ],
)
def test_an_unknown_name_in_the_environment_is_refused_too(
    conf: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, near: str
) -> None:
    monkeypatch.setenv(variable, "1")

    error = refused(conf)

    assert (error.what, error.where) == (f"there is no setting {name}", variable)
    assert error.fix in (f"did you mean {near}?", "`scoretrail config show` lists every setting")


def test_an_unknown_name_on_the_command_line_is_refused_too(conf: Path) -> None:
    error = refused(conf, {"batch.splitmib": 1})

    assert (error.where, error.fix) == ("command line", "did you mean batch.split_mib?")


@pytest.mark.parametrize(
    ("overrides", "name", "got"),
    [
        ({"batch.split_mib": "many"}, "batch.split_mib", "'many'"),
        ({"batch.split_mib": 0}, "batch.split_mib", "0"),
        ({"batch.max_reject_ratio": 1.5}, "batch.max_reject_ratio", "1.5"),
        ({"registry.budget.max_load_s": float("inf")}, "registry.budget.max_load_s", "inf"),
        ({"model.bits": "nearly"}, "model.bits", "'nearly'"),
        ({"clock.fixed_at": "2013-12-01T00:00:00"}, "clock.fixed_at", "'2013-12-01T00:00:00'"),
        ({"batch.split_mib.more": 1}, "batch.split_mib", "{'more': 1}"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_with_its_origin(
    conf: Path, overrides: dict[str, Any], name: str, got: str
) -> None:
    (conf / "base.yaml").write_text("batch: {split_mib: 1}\n")

    error = refused(conf, overrides)

    assert (error.what, error.where, error.got) == (f"setting {name} cannot be used", "command line", got)
    assert error.exit_code == 78


@pytest.mark.parametrize("name", ["batch", "registry.budget", "spark.conf", "storage"])
def test_a_value_in_the_place_of_a_section_is_refused(conf: Path, name: str) -> None:
    error = refused(conf, {name: 5})

    assert (error.what, error.where) == (f"{name} is a section and takes no value", "command line")


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("batch: {split_mib: 1\nspark: [", "the file is not YAML", ", line 2"),
        ("- batch", "the file holds no settings", ""),
        ("just text", "the file holds no settings", ""),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(conf: Path, text: str, what: str, where: str) -> None:
    (conf / "base.yaml").write_text(text)

    error = refused(conf)

    assert (error.what, error.where) == (what, f"{conf / 'base.yaml'}{where}")


def test_a_file_that_is_no_text_is_refused(conf: Path) -> None:
    (conf / "base.yaml").write_bytes(b"batch: {\xff\xfe}")

    assert refused(conf).what == "the file is not YAML"


def test_lists_and_mappings_in_variables_are_json(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORETRAIL__REGISTRY__TRUSTED_KEYS", '["a.pem", "b.pem"]')
    monkeypatch.setenv("SCORETRAIL__SPARK__CONF", '{"spark.executor.memoryOverhead": "1g"}')

    settings = config.load(folder=conf).settings

    assert settings.registry.trusted_keys == ("a.pem", "b.pem")
    assert settings.spark.conf == {"spark.executor.memoryOverhead": "1g"}

    monkeypatch.setenv("SCORETRAIL__REGISTRY__TRUSTED_KEYS", "[a.pem")
    assert refused(conf).what == "setting registry.trusted_keys is not JSON"

    monkeypatch.setenv("SCORETRAIL__REGISTRY__TRUSTED_KEYS", "a.pem")
    assert refused(conf).where == "SCORETRAIL__REGISTRY__TRUSTED_KEYS"


def test_spark_properties_keep_their_dots_in_every_layer(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf / "base.yaml").write_text("spark: {conf: {spark.a.b: base, spark: {c: {d: base}}}}\n")
    monkeypatch.setenv("SCORETRAIL__SPARK__CONF__SPARK__E", "variable")

    resolved = config.load({"spark.conf.spark.a.b": "command", "spark.conf": {"spark.f": "mapping"}}, folder=conf)

    assert resolved.settings.spark.conf == {
        "spark.a.b": "command",
        "spark.c.d": "base",
        "spark.e": "variable",
        "spark.f": "mapping",
    }
    assert changed(resolved)["spark.conf.spark.e"] == ("variable", "SCORETRAIL__SPARK__CONF__SPARK__E")


def test_settings_are_frozen(conf: Path) -> None:
    settings = config.load(folder=conf).settings

    with pytest.raises(ValueError, match="frozen"):
        settings.batch.split_mib = 1


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_a_secret_file_is_read_without_its_line_end_and_bookkeeping_is_passed_over(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = conf.parent / "secrets"
    (secrets / "..2013_12_01").mkdir(parents=True)
    (secrets / "storage__options__aws_secret_access_key").write_text(f"{SECRET}\n")
    (secrets / "..data").write_text("not ours")
    monkeypatch.setenv("SCORETRAIL_SECRETS_DIR", str(secrets))

    resolved = config.load(folder=conf)

    assert resolved.settings.storage.plain() == {"aws_secret_access_key": SECRET}
    assert [origin for _, _, origin in resolved.rows() if origin != "default"] == [
        str(secrets / "storage__options__aws_secret_access_key")
    ]


@pytest.mark.parametrize("name", ["strage__options__aws_token", "storage__optoins__aws_token", "README"])
def test_a_secret_file_with_an_unknown_name_is_refused(conf: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secrets = conf.parent / "secrets"
    secrets.mkdir()
    (secrets / name).write_text(SECRET)
    monkeypatch.setenv("SCORETRAIL_SECRETS_DIR", str(secrets))

    error = refused(conf)

    assert error.where == str(secrets / name)
    assert SECRET not in "".join(traceback.format_exception(error))


def test_a_secrets_folder_that_is_not_there_is_refused(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORETRAIL_SECRETS_DIR", str(conf / "nowhere"))

    assert refused(conf).got == str(conf / "nowhere")


def test_a_secret_is_masked_wherever_settings_are_shown(conf: Path) -> None:
    resolved = config.load(
        {
            "storage.options.google_service_account_key": f'{{"private_key": "{SECRET}"}}',
            "spark.conf.spark.hadoop.fs.s3a.secret.key": SECRET,
            "spark.conf.spark.ssl.keyPassword": SECRET,
            "spark.conf.spark.ui.enabled": "false",
        },
        folder=conf,
    )

    shown = {name: value for name, value, _ in resolved.rows()}
    assert shown["storage.options.google_service_account_key"] == "**********"
    assert shown["spark.conf.spark.hadoop.fs.s3a.secret.key"] == "**********"
    assert shown["spark.conf.spark.ssl.keyPassword"] == "**********"
    assert shown["spark.conf.spark.ui.enabled"] == "false"
    assert SECRET not in f"{resolved.masked()} {resolved.settings.storage!r}"
    assert resolved.settings.spark.conf["spark.ssl.keyPassword"] == SECRET
    assert SECRET in resolved.settings.storage.plain()["google_service_account_key"]


@pytest.mark.parametrize(
    "text",
    [
        f"storage: {SECRET}",
        f"storage: {{options: {SECRET}}}",
        f"storage: {{options: {{aws_token: [{SECRET}]}}}}",
        f"storage: {{aws_token: {SECRET}}}",
        f"spark: {{conf: {{spark.token: [{SECRET}]}}}}",
        f"storage: {{options: {{aws_token: {SECRET}]}}}}",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_in_the_message_nor_in_its_traceback(conf: Path, text: str) -> None:
    (conf / "base.yaml").write_text(text)

    error = refused(conf)

    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("owner", ["''", "'  '", "null", "[a, b]"])
def test_a_model_without_an_owner_is_refused(conf: Path, owner: str) -> None:
    (conf / "base.yaml").write_text(f"metrics: {{owners: {{flight-delay: {owner}}}}}\n")
    error = refused(conf)
    assert error.what == "setting metrics.owners.flight-delay cannot be used"
    assert error.where == str(conf / "base.yaml")


def test_owners_are_by_the_names_of_models(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf / "base.yaml").write_text("metrics: {owners: {flight-delay: flights, a.b: others}}\n")
    monkeypatch.setenv("SCORETRAIL__METRICS__OWNERS", '{"late": " from here "}')
    owners = config.load(folder=conf).settings.metrics.owners
    assert owners == {"flight-delay": "flights", "a.b": "others", "late": "from here"}
