"""Where bytes lie: control objects with an exclusive create, and the file systems that hold data files.

Control objects (registry, run records, commit messages) go through obstore, whose ``put(mode="create")`` is
atomic on a local disk and on S3, GCS and Azure. ``pyarrow.fs`` has no such promise: it carries data files only.
"""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as foreign
from obstore.store import LocalStore, MemoryStore, from_url
from pyarrow import fs

from scoretrail.errors import (
    ConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

_S3_SCHEMES = ("s3", "s3a")
_CLIENT_OPTIONS = frozenset(
    {"allow_http", "allow_invalid_certificates", "connect_timeout", "timeout", "user_agent"}
    | {"http1_only", "http2_only", "pool_idle_timeout", "pool_max_idle_per_host"}
    | {"proxy_url", "proxy_ca_certificate", "proxy_excludes"}
)
"""Settings of the HTTP client; obstore panics when it finds one of them among the store's."""
_REFUSED = (foreign.PermissionDeniedError, foreign.UnauthenticatedError, PermissionError)
_EACCES = "(os error 13)"
"""How obstore, in the text of a general error, says that a local file may not be opened."""


@dataclass(frozen=True)
class StoredObject:
    """One object in a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


def normalise_uri(text: str) -> str:
    """Return the one spelling of a place: an absolute POSIX path, or a URI without a trailing slash.

    >>> normalise_uri("s3://bucket/data/")
    's3://bucket/data'
    >>> normalise_uri("file:///data//flights/")
    '/data/flights'
    """
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    scheme, separator, rest = text.partition("://")
    if separator:
        return f"{scheme}://{rest.rstrip('/')}"
    return str(Path(text).expanduser().absolute().resolve())


def join(uri: str, *parts: str) -> str:
    """Return a place below another.

    >>> join("s3://bucket/data", "ds=1", "a.parquet")
    's3://bucket/data/ds=1/a.parquet'
    """
    return posixpath.join(uri, *parts)


class Storage:
    """Objects below one place, by their keys (relative paths with ``/``)."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """Open a place; a local folder is made when the first object is written.

        Args:
            uri: a local path or an ``s3://``, ``gs://``, ``az://`` or ``memory://`` URI.
            options: the settings object stores need, named as deltalake names them.

        Raises:
            ConfigurationError: a setting that the store does not know.
        """
        self.uri = normalise_uri(uri)
        self.options = dict(options or {})
        self._opened: Any = None
        try:
            if uri.startswith("memory://"):
                self._opened = MemoryStore()
            elif "://" in self.uri:
                config, client = _split_client_options(self.options)
                make: Any = from_url  # its overloads know no URI that is decided at run time
                self._opened = make(self.uri, config=config, client_options=client)
        except (foreign.BaseError, ValueError) as error:
            raise ConfigurationError(
                "storage cannot be opened",
                where=self.uri,
                got=_first_line(error),
                fix="check storage.options",
            ) from error

    def put_new(self, key: str, data: bytes) -> None:
        """Create an object in one atomic step.

        Raises:
            ObjectExistsError: there is an object of that key; it is left as it is.
            StorageError: the storage did not answer as it should.
        """
        with self._translated(key):
            # One put, never multipart: the exclusive create is a property of a single request.
            obstore.put(self._to_write(), key, data, mode="create", use_multipart=False)

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing one that is there.

        Raises:
            StorageError: the storage did not answer as it should.
        """
        with self._translated(key):
            obstore.put(self._to_write(), key, data, use_multipart=False)

    def get(self, key: str) -> bytes:
        """Return an object's bytes.

        Raises:
            ObjectNotFoundError: there is none of that key.
            StorageError: the storage did not answer as it should.
        """
        with self._translated(key):
            return bytes(obstore.get(self._to_read(), key).bytes())

    def get_or_none(self, key: str) -> bytes | None:
        """Return an object's bytes, or None if there is none of that key.

        Raises:
            StorageError: the storage did not answer as it should.
        """
        try:
            return self.get(key)
        except ObjectNotFoundError:
            return None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with the folder ``prefix``, in no order.

        Empty objects are passed over: object stores have them where somebody made a "folder", and ours are never empty.

        Raises:
            StorageError: the storage did not answer as it should.
        """
        with self._translated(prefix):
            for chunk in obstore.list(self._to_read(), prefix or None):
                for meta in chunk:
                    if meta["size"]:
                        yield StoredObject(meta["path"], meta["size"], meta["last_modified"])

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the folders directly below ``prefix``, sorted.

        Raises:
            StorageError: the storage did not answer as it should.
        """
        with self._translated(prefix):
            found = obstore.list_with_delimiter(self._to_read(), prefix or None)
        return sorted(posixpath.basename(path.rstrip("/")) for path in found["common_prefixes"])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error.

        Raises:
            StorageError: the storage did not answer as it should.
        """
        for key in keys:
            with contextlib.suppress(ObjectNotFoundError), self._translated(key):
                obstore.delete(self._to_read(), key)

    def _to_read(self) -> Any:  # noqa: ANN401  (obstore's stores share no public base)
        """Return the store; while a local folder is not there, an empty one, for reading must not make it."""
        if self._opened is None and Path(self.uri).is_dir():
            self._opened = LocalStore(self.uri)
        return self._opened or MemoryStore()

    def _to_write(self) -> Any:  # noqa: ANN401
        if self._opened is None:
            try:
                self._opened = LocalStore(self.uri, mkdir=True)
            except (foreign.BaseError, OSError) as error:
                raise ConfigurationError(
                    "the folder cannot be made",
                    where=self.uri,
                    got=_first_line(error),
                    fix="choose another place",
                ) from error
        return self._opened

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Turn obstore's exceptions into ours: the only place where that is done.

        Raises:
            ObjectExistsError: an exclusive create found the object there.
            ObjectNotFoundError: there is no such object.
            ConfigurationError: the storage refuses access.
            UsageError: the key cannot be a name.
            StorageError: anything else.
        """
        where = join(self.uri, key)
        try:
            yield
        except (foreign.AlreadyExistsError, foreign.PreconditionError) as error:
            raise ObjectExistsError("the object exists already", where=where) from error
        except (foreign.NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFoundError("there is no such object", where=where) from error
        except ValueError as error:
            raise UsageError(f"{key!r} cannot be the name of an object", where=where, got=_first_line(error)) from error
        except (foreign.BaseError, OSError) as error:
            got = _first_line(error)
            if isinstance(error, _REFUSED) or _EACCES in got:
                raise ConfigurationError(
                    "storage refuses access", where=where, got=got, fix="check rights and credentials"
                ) from error
            raise StorageError("the storage operation failed", where=where, got=got) from error


def filesystem(uri: str, options: Mapping[str, str] | None = None) -> tuple[fs.FileSystem, str]:
    """Return the file system that holds data files, and the path of ``uri`` on it.

    Args:
        uri: as :func:`normalise_uri` returns it.
        options: the settings object stores need, named as deltalake names them.

    Raises:
        ConfigurationError: no file system knows such a URI.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if not scheme:
        return fs.LocalFileSystem(), uri
    try:
        if scheme in _S3_SCHEMES:
            return _s3(options or {}), uri.partition("://")[2]
        found, path = fs.FileSystem.from_uri(uri)
    except (ValueError, OSError) as error:
        raise ConfigurationError("storage cannot be opened", where=uri, got=_first_line(error)) from error
    return found, path


def _s3(options: Mapping[str, str]) -> fs.S3FileSystem:
    folded = {key.lower().removeprefix("aws_"): value for key, value in options.items()}
    endpoint = folded.get("endpoint_url") or folded.get("endpoint")
    arguments: dict[str, Any] = {
        "access_key": folded.get("access_key_id"),
        "secret_key": folded.get("secret_access_key"),
        "session_token": folded.get("session_token") or folded.get("token"),
        "region": folded.get("region"),
    }
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        arguments |= {"endpoint_override": host, "scheme": scheme}
    return fs.S3FileSystem(**{key: value for key, value in arguments.items() if value})


def _split_client_options(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Separate the store's settings from those of its HTTP client, which deltalake keeps in one mapping."""
    client = {}
    config = {}
    for key, value in options.items():
        plain = key.lower().removeprefix("aws_")
        if plain in _CLIENT_OPTIONS:
            client[plain] = value
        else:
            config[key] = value
    return config, client


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
