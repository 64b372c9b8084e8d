"""Services of one process: a broker and a store on free ports of 127.0.0.1, which end with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.services.jars import JarCache, kafka_jars
from jobs.services.java import find_java
from jobs.services.kafka_server import KafkaServer
from jobs.services.port import free_port
from jobs.services.service import Service
from jobs.services.valkey_server import ValkeyServer, find_valkey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def kafka(
    folder: Path,
    *,
    port: int | None = None,
    controller_port: int | None = None,
    secure: dict[str, str] | None = None,
    cache: JarCache | None = None,
    tied: bool = True,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,  # noqa: ANN401  (fields of KafkaServer)
) -> Service:
    """Return a broker that is not started yet.

    Args:
        folder: of its own; data that lies there from before is used again.
        port: default a free one.
        controller_port: of the broker's own use; default a free one.
        secure: further listeners on free ports: name -> security protocol, such as ``{"SECURE": "SASL_SSL"}``.
        cache: where its jars are kept; default the user's cache folder.
        tied: whether it ends with this process.
        say: is told what takes long.
        options: further fields of :class:`~jobs.services.kafka_server.KafkaServer`.

    Raises:
        DependencyError: Java is missing, or the jars cannot be had.
        ChecksumError: they are not those that were pinned.
    """
    java = find_java()
    server = KafkaServer(
        folder=folder.absolute(),
        java=java,
        jars=kafka_jars(cache or JarCache(), java, say),
        port=port or free_port(),
        controller_port=controller_port or free_port(),
        listeners={name: (protocol, free_port()) for name, protocol in (secure or {}).items()},
        **options,
    )
    return Service(server, tied=tied)


def valkey(folder: Path, *, port: int | None = None, tied: bool = True, **options: Any) -> Service:  # noqa: ANN401
    """Return a store that is not started yet.

    Args:
        folder: of its own.
        port: default a free one.
        tied: whether it ends with this process.
        options: further fields of :class:`~jobs.services.valkey_server.ValkeyServer`.

    Raises:
        DependencyError: there is no server.
    """
    binary = find_valkey(with_tls=options.get("tls") is not None)
    server = ValkeyServer(folder=folder.absolute(), binary=binary, port=port or free_port(), **options)
    return Service(server, tied=tied)
