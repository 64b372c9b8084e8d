"""How a broker is configured."""

from pathlib import Path
from typing import Any

import pytest

from jobs.services.kafka_server import KafkaServer
from scoretrail.errors import ServiceError


def server(tmp_path: Path, **options: Any) -> KafkaServer:
    jars = (Path("/jars/a.jar"), Path("/jars/b.jar"))
    return KafkaServer(folder=tmp_path, java=Path("/java"), jars=jars, port=19092, controller_port=19093, **options)


def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    made = server(tmp_path, listeners={"SECURE": ("SASL_SSL", 19094)}).all_properties()
    places = made["listeners"].split(",")
    assert places == ["PLAIN://127.0.0.1:19092", "SECURE://127.0.0.1:19094", "CONTROLLER://127.0.0.1:19093"]
    assert made["advertised.listeners"] == "PLAIN://127.0.0.1:19092,SECURE://127.0.0.1:19094"
    assert made["listener.security.protocol.map"] == "PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT"


def test_one_broker_is_enough_for_everything(tmp_path: Path) -> None:
    made = server(tmp_path).all_properties()
    factors = {key: value for key, value in made.items() if key.endswith(("replication.factor", "min.isr"))}
    assert len(factors) == 6
    assert set(factors.values()) == {"1"}
    assert made["auto.create.topics.enable"] == "false"
    assert made["transaction.abort.timed.out.transaction.cleanup.interval.ms"] == "1000"


def test_given_properties_win(tmp_path: Path) -> None:
    made = server(tmp_path, properties={"auto.create.topics.enable": "true", "message.max.bytes": "99"})
    assert made.all_properties()["auto.create.topics.enable"] == "true"
    assert made.all_properties()["message.max.bytes"] == "99"


def test_one_that_is_not_formatted_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="/java"):
        server(tmp_path).prepare()


def test_a_formatted_folder_is_left_as_it_is_and_its_broker_is_fenced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").touch()
    with pytest.raises(ServiceError, match="cannot fence"):
        server(tmp_path).prepare()
    alone = dict(line.split("=", 1) for line in (tmp_path / "controller.properties").read_text().splitlines())
    assert (alone["process.roles"], alone["listeners"]) == ("controller", "CONTROLLER://127.0.0.1:19093")
    assert "advertised.listeners" not in alone
    assert alone["log.dirs"] == str(tmp_path / "data")
    assert "log.dirs=" + str(tmp_path / "data") in (tmp_path / "server.properties").read_text().splitlines()


def test_only_the_given_jars_are_on_the_class_path(tmp_path: Path) -> None:
    command = server(tmp_path, heap_mib=99, java_options=("-XX:+UseSerialGC",)).command()
    assert command[command.index("-cp") + 1] == "/jars/a.jar:/jars/b.jar"
    assert {"-Xmx99m", "-XX:+UseSerialGC"} <= set(command)
    assert command[-2:] == ("kafka.Kafka", str(tmp_path / "server.properties"))
