"""Two processes that do the same thing to one registry at the same time, round after round."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from scoretrail.errors import ConflictError, ObjectExistsError, RegistryError
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory.bare import NOW, bare_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

RACERS = ("left", "right")
TIME_LIMIT_S = 120

Racer: TypeAlias = "Callable[[Registry, str, int], str]"


def register_other_models(registry: Registry, name: str, turn: int) -> str:
    """Publish a version whose model is this racer's own."""
    return _publish(registry, f"1.0.{turn}", model=name.encode())


def register_other_manifests(registry: Registry, name: str, turn: int) -> str:
    """Publish a version with the same files and a manifest of this racer's own."""
    return _publish(registry, f"1.0.{turn}", created_at=name)


def register_without_exclusion(registry: Registry, name: str, turn: int) -> str:
    """Publish as :func:`register_other_models` does, through a storage whose exclusive create looks, then writes."""
    storage = registry._storage

    def look_then_write(key: str, data: bytes) -> None:
        if storage.get_or_none(key) is not None:
            raise ObjectExistsError("the object exists already")
        time.sleep(0.01)
        storage.put(key, data)

    storage.put_new = look_then_write  # type: ignore[method-assign]
    return register_other_models(registry, name, turn)


def move_alias(registry: Registry, name: str, turn: int) -> str:
    """Move an alias, with this racer's name as the reason."""
    return str(registry.move_alias("parcel-linear", "champion", "1.0.0", f"{name} {turn}").number)


def _publish(registry: Registry, version: str, **changes: Any) -> str:
    manifest, files = bare_bundle(version, **changes)
    try:
        registry.publish(manifest, files)
    except (RegistryError, ConflictError) as error:
        return type(error).__name__
    return "published"


def race(what: Racer, uri: str, options: Mapping[str, str], rounds: int) -> dict[str, Sequence[str]]:
    """Return what each racer got, round by round; they start each round together.

    Args:
        what: one of the functions above; called with the registry, the racer's name and the round's number.
        uri: the registry's root.
        options: its storage options.
        rounds: how often.
    """
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(len(RACERS)), context.SimpleQueue()
    processes = [
        context.Process(target=_run, args=(what, uri, dict(options), rounds, name, barrier, queue)) for name in RACERS
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(TIME_LIMIT_S)
            if process.exitcode != 0:
                raise RuntimeError(f"a racer ended with {process.exitcode}")
    finally:
        for process in processes:
            process.kill()
    return dict(queue.get() for _ in RACERS)


def _run(
    what: Racer,
    uri: str,
    options: dict[str, str],
    rounds: int,
    name: str,
    barrier: Barrier,
    queue: SimpleQueue[tuple[str, list[str]]],
) -> None:
    registry = Registry(Storage(uri, options), NOW)
    results = []
    for turn in range(rounds):
        barrier.wait(TIME_LIMIT_S)
        results.append(what(registry, name, turn))
    queue.put((name, results))
