"""Which bundle is served: the registry's alias, followed by a thread of its own, never to an older number."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from scoretrail import log
from scoretrail.errors import ConflictError, RegistryError, RetryLaterError, ScoretrailError, UsageError
from scoretrail.model.bundle import open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scoretrail.clock import Clock
    from scoretrail.digest import Digest
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.engine import EngineChoice
    from scoretrail.model.registry import Registry, ResolvedBundle

_RETRY_FAILED_S: Final = 30.0
"""A bundle that cannot be served is tried again so often: it may be this machine that could not."""
_RESOLVE_ATTEMPTS: Final = 5
"""An alias that moves so often while it is read is not being operated, it is being attacked."""
_PREFIX: Final = "models:/"

H = TypeVar("H")


@dataclass(frozen=True)
class ServedBundle:
    """What a worker scores with from one moment on."""

    alias_no: int
    """Number of the alias record; a partition never goes back to a lower one."""
    resolved: ResolvedBundle
    bundle: Bundle
    """Loaded, warm and proven on its golden rows."""
    pinned: Mapping[str, Bundle]
    """Version -> bundle: what an event may ask for by header."""


@dataclass(frozen=True)
class Serving(Generic[H]):
    """A bundle with the handler that was made for it, off the loop."""

    served: ServedBundle
    handler: H

    @property
    def alias_no(self) -> int:
        """The number of the alias record."""
        return self.served.alias_no

    @property
    def bundle_sha256(self) -> Digest:
        """Digest of the bundle."""
        return self.served.bundle.digest


@dataclass(frozen=True, kw_only=True)
class ServedPolicy:
    """What is followed, and how."""

    name: str
    alias: str
    bits: Literal["exact", "platform"] = "exact"
    engine: EngineChoice = "auto"
    poll_s: float = 0.5
    allowed_versions: tuple[str, ...] = ()


def alias_of_uri(uri: str | None) -> tuple[str, str]:
    """Return name and alias of a model that can be followed.

    >>> alias_of_uri("models:/flight-delay@champion")
    ('flight-delay', 'champion')

    Raises:
        UsageError: it is no alias: a fixed version has no number that could rise.
    """
    name, at, alias = (uri or "").removeprefix(_PREFIX).partition("@")
    if not uri or not uri.startswith(_PREFIX) or not (name and at and alias):
        raise UsageError(
            "a stream serves what an alias stands for",
            where="--model or stream.model",
            expected="models:/NAME@ALIAS",
            got=repr(uri),
            fix="scoretrail model alias NAME ALIAS VERSION",
        )
    return name, alias


class Served(Generic[H]):
    """The bundle that serves, and the thread that looks for the next one."""

    def __init__(
        self,
        registry: Registry,
        policy: ServedPolicy,
        make_handler: Callable[[ServedBundle], H],
        clock: Clock,
    ) -> None:
        """Prepare; nothing is read before :meth:`load`.

        Args:
            registry: whose alias records are the truth.
            policy: what is followed.
            make_handler: called off the loop for each bundle, so that a switch costs the loop nothing.
            clock: measures durations.
        """
        self._registry = registry
        self._policy = policy
        self._make_handler = make_handler
        self._clock = clock
        self._current: Serving[H] | None = None
        self._pinned: dict[str, Bundle] = {}
        self._seen = 0
        self._failed: tuple[int, float] | None = None
        """Number that could not be served, and when to try it again."""
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="served", daemon=True)
        self.failures = 0
        """Loads that failed since the start."""

    def load(self) -> Serving[H]:
        """Load what the alias stands for, and every pinned version; return it.

        Raises:
            ScoretrailError: it cannot be served; there is nothing to fall back to.
        """
        policy = self._policy
        for version in policy.allowed_versions:
            resolved = self._registry.resolve(f"{_PREFIX}{policy.name}/{version}")
            self._pinned[version] = open_bundle(resolved.files, policy.bits, policy.engine)
        seen = self._registry.newest_number(policy.name)
        self._current = self._load()
        self._seen = seen
        return self._current

    def current(self) -> Serving[H]:
        """Return what serves; cheap, from any thread.

        Raises:
            RegistryError: nothing was loaded yet.
        """
        current = self._current  # one read: the other thread may replace it between two
        if current is None:
            raise RegistryError("no bundle is loaded yet", where=self._policy.name)
        return current

    def start(self) -> None:
        """Follow the alias from here on."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the registry now."""
        self._woken.set()

    def stop(self) -> None:
        """Follow no longer; a load that is under way is not waited for."""
        self._stopped = True
        self._woken.set()

    def look(self) -> bool:
        """Load what the alias stands for, if that is new; return whether another bundle serves now.

        A load that fails is logged and counted, and what served goes on serving.
        """
        name = self._policy.name
        newest = self._seen
        try:
            newest = self._registry.newest_number(name)
            if newest == self._seen and not self._is_due(newest):
                return False
            record = self._registry.alias_record(name, self._policy.alias)
            if record.number <= self.current().alias_no:
                self._seen, self._failed = newest, None
                return False
            loaded = self._load()
        except RetryLaterError as error:
            self._note_failure(error)  # and look again at the next turn of the thread
            return False
        except Exception as error:  # noqa: BLE001  (whatever a bundle does at its load, the one before goes on serving)
            self._note_failure(error)
            self._seen = newest
            self._failed = (newest, self._clock.monotonic() + _RETRY_FAILED_S)
            return False
        self._current = loaded  # the loop sees it at its next turn
        self._seen, self._failed = newest, None
        return True

    def _load(self) -> Serving[H]:
        """Return what the alias stands for, its number and its bytes of one moment.

        Raises:
            ConflictError: the alias moved each time it was read.
        """
        name, alias = self._policy.name, self._policy.alias
        began = self._clock.monotonic()
        for _ in range(_RESOLVE_ATTEMPTS):
            record = self._registry.alias_record(name, alias)
            resolved = self._registry.resolve(f"{_PREFIX}{name}@{alias}")
            if resolved.digest == record.bundle_sha256:
                break
        else:
            raise ConflictError(f"alias {alias!r} of {name} moves faster than it can be read")
        bundle = open_bundle(resolved.files, self._policy.bits, self._policy.engine)
        served = ServedBundle(record.number, resolved, bundle, self._pinned)
        serving = Serving(served, self._make_handler(served))
        log.get().info(
            log.MODEL_LOADED,
            model=name,
            version=resolved.manifest.version,
            alias_no=record.number,
            bundle_sha256=bundle.digest,
            seconds=round(self._clock.monotonic() - began, 3),
        )
        return serving

    def _is_due(self, newest: int) -> bool:
        failed = self._failed
        return failed is not None and failed[0] == newest and self._clock.monotonic() >= failed[1]

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        told = error.what if isinstance(error, ScoretrailError) else type(error).__name__
        log.get().error(log.MODEL_LOAD_FAILED, model=self._policy.name, alias=self._policy.alias, error=told)

    def _watch(self) -> None:
        while True:
            self._woken.wait(self._policy.poll_s)
            self._woken.clear()
            if self._stopped:
                return
            self.look()
