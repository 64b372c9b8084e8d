"""Least privileges are enough for a worker, and a preflight names what it saw, on a real broker and a real store."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import trustme
from kafka import KafkaProducer
from kafka.admin import ACLOperation, ResourceType
from onnx import helper
from pydantic import SecretStr

from jobs.online import open_store
from jobs.services.port import free_port
from jobs.services.service import Service
from jobs.services.valkey_server import TlsFiles
from jobs.stream.preflight.preflight import preflight
from jobs.stream.preflight.seen import Seen
from scoretrail.feature.online import encode_values
from scoretrail.setting import OnlineSettings
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import Registered, register_example
from tests.factory.services import StartService, fresh_topic, read_committed
from tests.factory.streamed import SENT_AT, SENT_MS, WINDY
from tests.integration.stream.secure_kafka import SecureKafka, start_secure

ROOT = Path(__file__).parents[3]
SECRET = "no-one-may-see-this"  # noqa: S105  (of servers that live for one module)
WRONG = "nor-this-one"
READER, WRITER = "+mget +ping", "+evalsha +script|load +getrange +set"
LIMIT_S = 90


@pytest.fixture(scope="module")
def secure(start_kafka: StartService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    found = start_secure(start_kafka, tmp_path_factory.mktemp("secure"))
    yield found
    found.admin.close()
    found.service.stop()


def look(secure: SecureKafka, *without: str, more: tuple[Any, ...] = (), **settings: Any) -> list[Seen]:
    """Return what a preflight sees for a user that lacks some of the least privileges."""
    granted = [grant for name, grant in secure.least().items() if name not in without]
    user = secure.user(SECRET, *granted, *more)
    seen = preflight(secure.settings(user, **{"password": SECRET, **settings}), secure.stream())
    assert not any(secret in repr(seen) for secret in (SECRET, WRONG))
    return seen


def wrong(seen: list[Seen]) -> list[str]:
    return [one.name for one in seen if not one.ok]


def test_with_the_least_privileges_nothing_is_wrong(secure: SecureKafka) -> None:
    seen = {one.name: one for one in look(secure)}
    assert wrong(list(seen.values())) == []
    assert seen[f"acl group {secure.group}"].text == "allowed"
    assert seen[f"acl transactional id scoretrail-{secure.group}-0"].text == "allowed"
    assert seen[f"size {secure.dead_letters}"].text.startswith("not seen")


def test_the_page_grants_what_is_tested_here_and_nothing_else(secure: SecureKafka) -> None:
    page = (ROOT / "docs" / "how-to" / "secure-the-stream.md").read_text(encoding="utf-8").replace("\\\n", " ")
    told = re.findall(
        r"--operation (\w+) --(topic|group|transactional-id) (\S+)( --resource-pattern-type prefixed)?", page
    )
    names = {
        secure.input: "events",
        secure.predictions: "predictions",
        secure.dead_letters: "dead-letters",
        secure.group: "late",
        f"scoretrail-{secure.group}-": "scoretrail-late-",
    }
    granted = [
        (operation.name.title(), kind.name.lower().replace("_", "-"), names[name])
        for kind, name, operation in secure.least().values()
    ]
    assert [one[:3] for one in told] == granted
    assert all(f"'~fs:*' {rights}" in page.replace("'+script|load'", "+script|load") for rights in (READER, WRITER))
    assert [bool(one[3]) for one in told] == [kind == "transactional-id" for _, kind, _ in granted]


def test_a_wrong_password_is_seen_at_the_login_and_not_shown(secure: SecureKafka) -> None:
    seen = look(secure, password=WRONG)
    assert wrong(seen) == [f"sasl {secure.service.addresses['SECURE']}"]
    assert "invalid credentials" in seen[-1].text  # in the broker's words
    assert "kafka.password" in seen[-1].fix


def test_an_authority_that_is_not_trusted(secure: SecureKafka, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    seen = look(secure, ca_file=str(tmp_path / "other.pem"))
    assert wrong(seen) == [f"tls {secure.service.addresses['SECURE']}"]
    assert "issuer" in seen[-1].text


@pytest.mark.parametrize(("listener", "said"), [("EXPIRED", "expired"), ("ALONE", "self-signed")])
def test_a_certificate_that_is_expired_or_self_signed(secure: SecureKafka, listener: str, said: str) -> None:
    seen = look(secure, listener=listener)
    assert wrong(seen) == [f"tls {secure.service.addresses[listener]}"]
    assert said in seen[-1].text


def test_a_port_that_speaks_no_tls(secure: SecureKafka) -> None:
    plain = secure.service.address
    seen = look(secure, bootstrap=(plain,))
    assert wrong(seen) == [f"tls {plain}"]
    assert "TLS" in seen[-1].fix


def test_no_tls_to_a_port_that_wants_it_is_not_taken_for_a_wrong_password(secure: SecureKafka) -> None:
    seen = look(secure, security="SASL_PLAINTEXT", bootstrap_s=2)
    assert wrong(seen) == [f"sasl {secure.service.addresses['SECURE']}"]
    assert "kafka.password" not in seen[-1].fix


def test_a_mechanism_that_is_not_offered(secure: SecureKafka) -> None:
    seen = look(secure, mechanism="SCRAM-SHA-256")
    assert wrong(seen) == [f"sasl {secure.service.addresses['SECURE']}"]
    assert seen[-1].text == "SCRAM-SHA-256 is not offered: SCRAM-SHA-512"


def test_a_topic_that_this_user_may_not_see_is_not_said_to_be_missing(secure: SecureKafka) -> None:
    seen = look(secure, "write predictions")
    assert wrong(seen) == [f"topic {secure.predictions}"]
    assert "not visible to this user" in next(one.text for one in seen if not one.ok)


def test_a_topic_that_this_user_may_see_and_not_write(secure: SecureKafka) -> None:
    describe = (ResourceType.TOPIC, secure.predictions, ACLOperation.DESCRIBE)
    seen = look(secure, "write predictions", more=(describe,))
    assert wrong(seen) == [f"acl {secure.predictions}"]
    assert [one.text for one in seen if not one.ok] == ["DESCRIBE"]


@pytest.mark.parametrize("described", [False, True])
def test_a_group_that_this_user_may_not_read(secure: SecureKafka, described: bool) -> None:
    describe = (ResourceType.GROUP, secure.group, ACLOperation.DESCRIBE)
    seen = look(secure, "read group", more=(describe,) if described else ())
    assert wrong(seen) == [f"acl group {secure.group}"]
    (text,) = (one.text for one in seen if not one.ok)
    assert text.startswith("GroupAuthorizationFailedError when its coordinator was asked")


@pytest.mark.parametrize("described", [False, True])
def test_a_transactional_id_that_this_user_may_not_write(secure: SecureKafka, described: bool) -> None:
    describe = (ResourceType.TRANSACTIONAL_ID, f"scoretrail-{secure.group}-", ACLOperation.DESCRIBE)
    seen = look(secure, "write transactional id", more=(describe,) if described else ())
    assert wrong(seen) == [f"acl transactional id scoretrail-{secure.group}-0"]
    (text,) = (one.text for one in seen if not one.ok)
    assert text.startswith("TransactionalIdAuthorizationFailedError when its coordinator was asked")


def test_a_topic_of_dead_letters_that_takes_less_than_the_input(secure: SecureKafka) -> None:
    small = fresh_topic(secure.service.address, max_message_bytes="20000")
    topics = (secure.input, small)
    more = [(ResourceType.TOPIC, name, ACLOperation.DESCRIBE_CONFIGS) for name in topics]
    granted = [grant for name, grant in secure.least().items() if name != "write dead letters"]
    user = secure.user(SECRET, *granted, *more, (ResourceType.TOPIC, small, ACLOperation.WRITE))
    seen = preflight(secure.settings(user, SECRET), secure.stream(dead_letters=small))
    assert wrong(seen) == []
    (size,) = (one for one in seen if one.name == f"size {secure.input}")
    assert f"{small} has room for {20_000 - 4096}" in size.text
    assert "without their value" in size.fix


def test_a_preflight_disturbs_no_worker_in_the_same_slot(secure: SecureKafka) -> None:
    user = secure.user(SECRET, *secure.least().values())
    producer = KafkaProducer(bootstrap_servers=secure.service.address, transactional_id=f"scoretrail-{secure.group}-0")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(fresh_topic(secure.service.address), b"x").get(10)
    assert wrong(preflight(secure.settings(user, SECRET), secure.stream())) == []
    producer.commit_transaction()
    producer.close()


# --- The store, and a worker of both ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def store(start_valkey: StartService, store_folder: Path) -> Iterator[Service]:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    names = ("certificate.pem", "key.pem", "ca.pem")
    certificate, key, ca = (store_folder / name for name in names)
    own.cert_chain_pems[0].write_to_path(str(certificate))
    own.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    users = store_folder / "users.acl"
    users.write_text(
        "user default off\n"
        f"user reader on >{SECRET} ~fs:* {READER}\n"
        f"user writer on >{SECRET} ~fs:* {WRITER}\n"
        f"user pinger on >{SECRET} ~fs:* +ping\n"
    )
    service = start_valkey(tls=TlsFiles(certificate=certificate, key=key, ca=ca), acl_file=users)
    yield service
    service.stop()


def online(store: Service, folder: Path, user: str = "reader", **more: Any) -> OnlineSettings:
    values = {
        "uri": f"rediss://{store.address}/0",
        "username": user,
        "password": SecretStr(SECRET),
        "ca_file": str(folder / "ca.pem"),
    }
    return OnlineSettings(**{**values, **more})


def look_at(secure: SecureKafka, settings: OnlineSettings) -> list[Seen]:
    kafka = secure.settings("nobody", WRONG, bootstrap=("127.0.0.1:1",), bootstrap_s=1)
    seen = [one for one in preflight(kafka, secure.stream(), settings) if "store" in one.name]
    assert not any(secret in repr(seen) for secret in (SECRET, WRONG))
    return seen


def test_of_the_store_it_is_seen_what_is_wrong(
    secure: SecureKafka, store: Service, store_folder: Path, tmp_path: Path
) -> None:
    assert [one.ok for one in look_at(secure, online(store, store_folder))] == [True, True]
    (refused,) = look_at(secure, online(store, store_folder, password=SecretStr(WRONG)))
    assert "does not accept the user or the password" in refused.text
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (unknown,) = look_at(secure, online(store, store_folder, ca_file=str(tmp_path / "other.pem")))
    assert "certificate verify failed" in unknown.text
    answers, forbidden = look_at(secure, online(store, store_folder, "pinger"))
    assert (answers.ok, forbidden.ok) == (True, False)
    assert "does not allow the user what is asked" in forbidden.text
    (plain,) = look_at(secure, online(store, store_folder, uri=f"redis://{store.address}/0"))
    assert not plain.ok


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A model whose score is a stored feature."""
    n = 700
    now = pa.array([SENT_MS * 1000 + i for i in range(n)], pa.int64()).cast(pa.timestamp("us", "UTC"))
    records = pa.table(
        {
            "key": [f"k{i}" for i in range(n)],
            "at": now,
            "place": ["HERE"] * n,
            "wind": pa.array(np.linspace(0, 9, n, dtype=np.float32)),
            "weather__event_time": now,
            "weather__available_at": now,
        }
    )
    data = model_bytes([helper.make_node("Identity", ["wind"], ["scores"])], [matrix_in(1, "wind")], [scores_out(1)])
    chosen = Example(name="windy", onnx=data, features=WINDY, view_name="view", task="regression", classes=())
    return register_example(chosen, tmp_path_factory.mktemp("windy"), records=records)


def test_a_worker_runs_with_the_least_privileges_and_says_no_secret(
    secure: SecureKafka, store: Service, store_folder: Path, model: Registered, tmp_path: Path
) -> None:
    (weather,) = _view(model).stored
    at = pa.array([SENT_MS * 1000 - 1], pa.int64()).cast(pa.timestamp("us", "UTC"))
    rows = pa.RecordBatch.from_arrays([pa.array([2.5], pa.float32()), at, at], list(weather.columns))
    writer = open_store(online(store, store_folder, "writer"))
    writer.write(encode_values(_view(model).name, weather, ["HERE"], rows))
    writer.close()
    user = secure.user(SECRET, *secure.least().values())
    producer = KafkaProducer(bootstrap_servers=secure.service.address)
    for i in range(50):
        value = {"key": f"k{i}", "at": SENT_AT, "place": "here"} if i else {}
        producer.send(secure.input, json.dumps(value).encode())
    producer.close()

    with running(secure, store, store_folder, model, user, tmp_path) as worker:
        end = time.monotonic() + LIMIT_S
        while len(read_committed(secure.service.address, secure.predictions)) < 49:
            assert worker.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < end, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.2)
        worker.send_signal(signal.SIGTERM)
        out, _ = worker.communicate(timeout=LIMIT_S)
    values = [json.loads(one.value) for one in read_committed(secure.service.address, secure.predictions)]
    scored = [one for one in values if one["trail"]["source"]["topic"] == secure.input]
    assert {one["score"] for one in scored} == {2.5}
    assert len(read_committed(secure.service.address, secure.dead_letters)) == 1
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2  # the log, and the record of the run, which has the settings
    assert not any(SECRET.encode() in data for data in (out.encode(), *files))
    assert any(b'"password":"***' in data or b'"password": "***' in data for data in files)


def _view(model: Registered) -> Any:
    from scoretrail.model.bundle import open_bundle

    return open_bundle(model.resolved.files).view


_PLACE = ("--slot", "0", "--from", "earliest", "--json")


class running:  # noqa: N801  (a context manager)
    """A worker in a process, its secrets in the environment, its log in a file."""

    def __init__(
        self, secure: SecureKafka, store: Service, store_folder: Path, model: Registered, user: str, folder: Path
    ) -> None:
        settings = {
            "registry.uri": str(model.root),
            "stream.model": "models:/windy@champion",
            "stream.group": secure.group,
            "stream.input": json.dumps([secure.input]),
            "stream.predictions": secure.predictions,
            "stream.dead_letters": secure.dead_letters,
            "stream.trail": str(folder / "trail"),
            "stream.health_port": str(free_port()),
            "kafka.bootstrap": json.dumps([secure.service.addresses["SECURE"]]),
            "kafka.security": "SASL_SSL",
            "kafka.ca_file": str(secure.ca_file),
            "kafka.username": user,
            "online.uri": f"rediss://{store.address}/0",
            "online.username": "reader",
            "online.ca_file": str(store_folder / "ca.pem"),
            "log.level": "debug",
            "log.render": "json",
        }
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        secrets = {"SCORETRAIL__KAFKA__PASSWORD": SECRET, "SCORETRAIL__ONLINE__PASSWORD": SECRET}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jobs.cli",
                    "stream",
                    "run",
                    *options,
                    "--slot",
                    "0",
                    "--from",
                    "earliest",
                    "--json",
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **secrets},
            )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()
