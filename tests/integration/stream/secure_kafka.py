"""A real broker with SASL_SSL, users and ACLs, whose certificates are made on the spot: good, expired, self-signed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from jobs.services.service import Service
from scoretrail.setting import KafkaSettings, StreamSettings
from tests.factory.services import StartService, fresh_topic

LISTENERS = ("SECURE", "EXPIRED", "ALONE")
LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PEM, _PKCS8, _PLAIN = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()

Grant = tuple[ResourceType, str, ACLOperation]


@dataclass
class SecureKafka:
    """The broker, an authority, and topics that a worker needs."""

    service: Service
    ca_file: Path
    admin: Any
    input: str = ""
    predictions: str = ""
    dead_letters: str = ""
    group: str = field(default_factory=lambda: f"g-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.input, self.predictions, self.dead_letters = (fresh_topic(self.service.address) for _ in range(3))

    def stream(self, **more: Any) -> StreamSettings:
        topics = {"input": (self.input,), "predictions": self.predictions, "dead_letters": self.dead_letters}
        return StreamSettings(**{**topics, "group": self.group, **more})

    def least(self) -> dict[str, Grant]:
        """Return what a worker needs, and nothing else: what docs/how-to/secure-the-stream.md lists."""
        return {
            "read events": (ResourceType.TOPIC, self.input, ACLOperation.READ),
            "write predictions": (ResourceType.TOPIC, self.predictions, ACLOperation.WRITE),
            "write dead letters": (ResourceType.TOPIC, self.dead_letters, ACLOperation.WRITE),
            "read group": (ResourceType.GROUP, self.group, ACLOperation.READ),
            "write transactional id": (
                ResourceType.TRANSACTIONAL_ID,
                f"scoretrail-{self.group}-",
                ACLOperation.WRITE,
            ),
        }

    def user(self, password: str, *grants: Grant) -> str:
        """Make a user with some rights; return its name."""
        name = f"u-{uuid.uuid4().hex[:8]}"
        self.admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)]
        )
        made = self.admin.create_acls([_acl(name, *grant) for grant in grants]) if grants else {"failed": []}
        assert not made["failed"], made
        return name

    def settings(self, username: str, password: str, listener: str = "SECURE", **more: Any) -> KafkaSettings:
        values = {
            "bootstrap": (self.service.addresses[listener],),
            "security": "SASL_SSL",
            "ca_file": str(self.ca_file),
            "username": username,
            "password": SecretStr(password),
        }
        return KafkaSettings(**{**values, **more})


def start_secure(start_kafka: StartService, folder: Path) -> SecureKafka:
    """Start it; the listener without encryption is an administrator's."""
    authority = trustme.CA()
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    pems = {
        "SECURE": _pem(authority.issue_cert("127.0.0.1")),
        "EXPIRED": _pem(authority.issue_cert("127.0.0.1", not_after=past)),
        "ALONE": _self_signed(),
    }
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    for name, pem in pems.items():
        (folder / f"{name}.pem").write_bytes(pem)
        prefix = f"listener.name.{name.lower()}."
        properties |= {
            f"{prefix}sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{prefix}scram-sha-512.sasl.jaas.config": LOGIN,
            f"{prefix}ssl.keystore.type": "PEM",
            f"{prefix}ssl.keystore.location": str(folder / f"{name}.pem"),
        }
    service = start_kafka(secure=dict.fromkeys(LISTENERS, "SASL_SSL"), properties=properties)
    return SecureKafka(service, folder / "ca.pem", KafkaAdminClient(bootstrap_servers=service.address))


def _acl(user: str, kind: ResourceType, name: str, operation: ACLOperation) -> ACL:
    prefixed = kind is ResourceType.TRANSACTIONAL_ID
    pattern = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name, pattern))


def _pem(issued: trustme.LeafCert) -> bytes:
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    return key.private_bytes(_PEM, _PKCS8, _PLAIN) + issued.cert_chain_pems[0].bytes()  # the one form that Kafka reads


def _self_signed() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alone")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(_PEM, _PKCS8, _PLAIN) + certificate.public_bytes(_PEM)
