"""One call of the program: what its common options say, and the settings, the clock and the registry they lead to."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from jobs.command.terminal import Terminal
from scoretrail.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scoretrail.clock import Clock
    from scoretrail.config import ResolvedSettings, Settings
    from scoretrail.model.registry import Registry

_SECRET = ("storage.options", "kafka.password", "kafka.key_password", "online.password")
"""Settings, or sections of them, that hold secrets."""


class Invocation:
    """What a command is handed: how to speak, and how to reach everything that is configured."""

    def __init__(self) -> None:
        """Begin without options; the parser brings them by :meth:`take`."""
        self.debug = False
        self._quiet = False
        self._as_json = False
        self._conf: Path | None = None
        self._environment: str | None = None
        self._overrides: dict[str, Any] = {}

    def take(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        debug: bool = False,
        conf: Path | None = None,
        environment: str | None = None,
        settings: Sequence[str] | None = None,
    ) -> None:
        """Add the common options of one level of the command line; the level nearer to the command wins.

        Raises:
            UsageError: a ``--set`` that is no ``SECTION.KEY=VALUE``, or that holds a secret.
        """
        self._as_json |= as_json
        self._quiet |= quiet
        self.debug |= debug
        self._conf = conf or self._conf
        self._environment = environment or self._environment
        self.override(dict(_setting(text) for text in settings or ()))

    def override(self, settings: Mapping[str, Any]) -> None:
        """Add a command's own options to the layer of the command line, before the settings are first asked for.

        Args:
            settings: dotted name -> value; None leaves the other layers in force.

        Raises:
            RuntimeError: they were asked for already.
        """
        if "resolved" in vars(self):
            msg = "the settings were resolved already"
            raise RuntimeError(msg)
        self._overrides |= {name: value for name, value in settings.items() if value is not None}

    @functools.cached_property
    def terminal(self) -> Terminal:
        """Who the command speaks to; ask once all options are parsed."""
        return Terminal(quiet=self._quiet, as_json=self._as_json)

    @functools.cached_property
    def resolved(self) -> ResolvedSettings:
        """The settings with their origins; the logs are configured with them.

        Raises:
            ConfigurationError: a setting that is unknown or cannot be used.
        """
        from scoretrail import config, log

        resolved = config.load(self._overrides, folder=self._conf, environment=self._environment)
        log.configure(resolved.settings.log.level, resolved.settings.log.render)
        return resolved

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.resolved.settings

    @functools.cached_property
    def clock(self) -> Clock:
        """The time this call believes in."""
        from scoretrail.clock import FixedClock, SystemClock

        fixed_at = self.settings.clock.fixed_at
        return SystemClock() if fixed_at is None else FixedClock(fixed_at)

    @property
    def registry_uri(self) -> str:
        """The registry's place, in its one spelling."""
        from scoretrail.storage import normalise_uri

        return normalise_uri(self.settings.registry.uri)

    @functools.cached_property
    def registry(self) -> Registry:
        """The configured registry."""
        return self.open_registry(self.settings.registry.trusted_keys)

    def open_registry(self, trusted_keys: Sequence[str]) -> Registry:
        """Return the configured registry under other keys than the configured ones."""
        from scoretrail.model.registry import Registry
        from scoretrail.storage import Storage

        settings = self.settings
        return Registry(Storage(settings.registry.uri, settings.storage.plain()), self.clock, trusted_keys)


def _setting(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``SECTION.KEY=VALUE``; a value in brackets is JSON.

    Raises:
        UsageError: it is something else, or holds a secret.
    """
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise UsageError("--set cannot be understood", expected="SECTION.KEY=VALUE", got=repr(text))
    if name.startswith(_SECRET):
        raise UsageError(
            "secrets do not belong on a command line, where every user of the machine can read them",
            where=f"--set {name}",
            fix=f"export SCORETRAIL__{name.upper().replace('.', '__')}=…, or use SCORETRAIL_SECRETS_DIR",
        )
    if value[:1] not in {"[", "{"}:
        return name, value
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise UsageError("--set holds JSON that does not parse", where=name, got=str(error)) from error
