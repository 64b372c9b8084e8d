"""Signatures over a bundle, made and checked by model-signing; the only import of it, and only when it is asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scoretrail.errors import BundleError, ConfigurationError, DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIGNATURE: Final = "model.sig"
_UNSIGNED: Final = frozenset({SIGNATURE, "card.md", "SHA256SUMS"})
"""Files that follow from the signed ones, or that are the signature."""


def sign(files: Mapping[str, bytes], private_key: Path) -> bytes:
    """Return a signature over a bundle's files.

    Args:
        files: file name -> bytes.
        private_key: an elliptic-curve key in PEM.

    Raises:
        DependencyError: model-signing is not installed.
        BundleError: the key cannot be used.
    """
    library = _library()
    with tempfile.TemporaryDirectory(prefix="scoretrail-sign-") as folder:
        model, target = _laid_out(files, Path(folder))
        try:
            library.signing.Config().use_elliptic_key_signer(private_key=private_key).sign(model, target)
        except Exception as error:  # the library raises its own, ValueError and cryptography's
            raise BundleError(
                "the bundle cannot be signed",
                where=private_key.name,
                expected="a private elliptic-curve key in PEM",
                got=f"{type(error).__name__}: {error}",
            ) from error
        return target.read_bytes()


def verify(files: Mapping[str, bytes], public_keys: Sequence[str]) -> None:
    """Refuse files that none of the keys signed; nothing of them is parsed before.

    Raises:
        DependencyError: model-signing is not installed.
        ConfigurationError: a key file is not there.
        BundleError: there is no signature, or it fits none of the keys.
    """
    absent = [key for key in public_keys if not Path(key).is_file()]
    if absent:
        raise ConfigurationError("a trusted key is not there", where="registry.trusted_keys", got=", ".join(absent))
    if SIGNATURE not in files:
        raise BundleError(
            "the bundle is not signed, and registry.trusted_keys asks for it",
            where=SIGNATURE,
            fix="scoretrail model sign URI --key PRIVATE.pem",
        )
    library = _library()
    problems = []
    with tempfile.TemporaryDirectory(prefix="scoretrail-verify-") as folder:
        model, target = _laid_out(files, Path(folder))
        target.write_bytes(files[SIGNATURE])
        for key in public_keys:
            try:
                library.verifying.Config().use_elliptic_key_verifier(public_key=Path(key)).verify(model, target)
            except Exception as error:  # noqa: BLE001  (the library raises its own, ValueError and cryptography's)
                problems.append(f"{Path(key).name}: {type(error).__name__}")
            else:
                return
    raise BundleError("no trusted key signed the bundle", where=SIGNATURE, got="; ".join(problems))


def _laid_out(files: Mapping[str, bytes], folder: Path) -> tuple[Path, Path]:
    model = folder / "bundle"
    model.mkdir()
    for name, data in files.items():
        if name not in _UNSIGNED:
            (model / name).write_bytes(data)
    return model, folder / SIGNATURE


def _library() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import model_signing  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise DependencyError(
            "signatures need the extra `signing`", got=str(error), fix="pip install 'scoretrail[signing]'"
        ) from error
    return model_signing
