"""``scoretrail model``: what is in the registry, and which version stands for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation

if TYPE_CHECKING:
    from scoretrail.model.registry import AliasRecord, Registry

app = group("Register models, and say which version stands for what.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="MAJOR.MINOR.PATCH")]
Uri = Annotated[
    str, typer.Argument(metavar="URI", help="models:/NAME/VERSION, models:/NAME@ALIAS, or a bundle's folder.")
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the history.")]


@command(app, "list")
def list_models(
    invocation: Invocation,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model only.")] = None,
) -> None:
    """List models, their versions and what the aliases stand for."""
    terminal, registry, place = invocation.terminal, invocation.registry, invocation.registry_uri
    names = registry.models() if name is None else [_known(invocation, name)]
    found = [_listed(registry, model, version) for model in names for version in registry.versions(model)]
    columns = ("model", "version", "aliases", "task", "registered", "owner")
    if found:
        shown = [{**one, "registered": _to_the_second(one["registered"])} for one in found]
        terminal.table(place, columns, [[one[column] for column in columns] for one in shown])
    else:
        terminal.text(f"There are no models in {place}.")
    terminal.result({"registry": place, "models": found})
    if found:
        terminal.next(f"scoretrail model show models:/{found[-1]['model']}/{found[-1]['version']}")
    else:
        terminal.next("scoretrail model register --help")


@command(app)
def show(invocation: Invocation, uri: Uri) -> None:
    """Show a version's card: contract, output, metrics, training, cost, files."""
    from scoretrail.model import card
    from scoretrail.model.signature import SIGNATURE

    resolved = invocation.registry.resolve(uri, invocation.settings.storage.plain())
    manifest, terminal = resolved.manifest, invocation.terminal
    terminal.facts(
        uri,
        {
            "place": resolved.location,
            "bundle sha256": resolved.digest,
            "score digest": manifest.score_digest,
            "signed": SIGNATURE in resolved.files,
        },
    )
    terminal.markdown(card.render(manifest))
    terminal.result(
        {
            "uri": uri,
            "location": resolved.location,
            "role": resolved.role,
            "bundle_sha256": resolved.digest,
            "score_digest": manifest.score_digest,
            "signed": SIGNATURE in resolved.files,
            "manifest": manifest.model_dump(mode="json"),
        }
    )
    terminal.next(f"scoretrail model verify {uri}")


@command(app)
def verify(invocation: Invocation, uri: Uri) -> None:
    """Check a bundle's hashes, its signature if keys are trusted, and its golden rows on this machine.

    Exits with 65 if a byte was changed or no trusted key signed it, with 3 if golden rows give other bits here.
    """
    from jobs.command.verification import check_bundle, refuse_different

    terminal = invocation.terminal
    terminal.step(f"verifying {uri}")
    resolved = invocation.registry.resolve(uri, invocation.settings.storage.plain())
    settings = invocation.settings
    signed = bool(settings.registry.trusted_keys)
    verified = check_bundle(resolved, invocation.registry, signed=signed, engine=settings.model.engine)
    terminal.table(uri, ("", "check", "found"), verified.rows())
    terminal.result(verified.as_json())
    refuse_different(verified)
    terminal.next(f"scoretrail batch score --model {uri} --input ROOT --output TABLE")


@command(app)
def sign(
    invocation: Invocation,
    uri: Uri,
    key: Annotated[
        Path,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Private elliptic-curve key (PEM)."),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a signature that is there.")] = False,
) -> None:
    """Sign a bundle; its files are checked first."""
    from jobs.command.verification import sign_bundle

    # Without trusted keys: a bundle that is not signed yet could not be resolved under them.
    resolved = invocation.open_registry(()).resolve(uri, invocation.settings.storage.plain())
    place = sign_bundle(resolved, invocation.settings.storage.plain(), key, replace=replace)
    terminal = invocation.terminal
    terminal.text(f"Signed {resolved.manifest.name} {resolved.manifest.version}: {place}")
    terminal.result({"uri": uri, "signature": place, "bundle_sha256": resolved.digest})
    terminal.next(f"scoretrail model verify {uri} --set 'registry.trusted_keys=[\"PUBLIC.pem\"]'")


@command(app)
def alias(
    invocation: Invocation,
    name: Name,
    alias_name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion or challenger.")],
    version: Version,
    reason: Reason = None,
) -> None:
    """Let an alias stand for a version."""
    record = invocation.registry.move_alias(name, alias_name, version, reason or "")
    _moved(invocation, name, record)


@command(app)
def rollback(invocation: Invocation, name: Name, reason: Reason = None) -> None:
    """Let the champion be what it was before, by a new record: nothing is deleted."""
    record = invocation.registry.rollback(name, reason or "rollback")
    _moved(invocation, name, record)


@command(app)
def history(invocation: Invocation, name: Name) -> None:
    """Show every move of every alias, oldest first."""
    terminal = invocation.terminal
    records = invocation.registry.history(_known(invocation, name))
    columns = ("number", "at", "alias", "version", "bundle", "reason")
    if records:
        rows = [(r.number, _to_the_second(r.at), r.alias, r.version, r.bundle_sha256[:12], r.reason) for r in records]
        terminal.table(name, columns, rows)
    else:
        terminal.text(f"No alias of {name} was ever set.")
    terminal.result({"model": name, "history": [dict(vars(record)) for record in records]})
    terminal.next("scoretrail model rollback " + name if records else f"scoretrail model alias {name} champion VERSION")


@command(app)
def discard(invocation: Invocation, name: Name, version: Version) -> None:
    """Remove what an unfinished registration left; a published version stays."""
    removed = invocation.registry.discard(name, version)
    terminal = invocation.terminal
    terminal.text(
        f"Removed {removed} files of an unfinished {name} {version}." if removed else "There was nothing to remove."
    )
    terminal.result({"model": name, "version": version, "files_removed": removed})
    terminal.next("scoretrail model list")


def _known(invocation: Invocation, name: str) -> str:
    """Return a model's name.

    Raises:
        RegistryError: there is no such model; the nearest is named.
    """
    from scoretrail.errors import RegistryError, nearest

    names = invocation.registry.models()
    if name in names:
        return name
    near = nearest(name, names)
    raise RegistryError(
        f"there is no model {name!r}",
        where=invocation.registry_uri,
        got=", ".join(names) or "no models",
        fix=f"did you mean {near}?" if near else "scoretrail model list",
    )


def _listed(registry: Registry, name: str, version: str) -> dict[str, Any]:
    """Return a version as it is listed; one that cannot be read is listed as such, for the others can."""
    from scoretrail.errors import BundleError

    aliases = ", ".join(sorted(alias for alias, stands in registry.aliases(name).items() if stands == version))
    listed = {
        "model": name,
        "version": version,
        "aliases": aliases,
        "task": "unreadable",
        "registered": "",
        "owner": "",
    }
    try:
        manifest = registry.manifest(name, version)
    except BundleError:
        return listed
    return listed | {
        "task": manifest.output.task,
        "registered": manifest.created_at,
        "owner": manifest.card.owner,
    }


def _to_the_second(at: str) -> str:
    return f"{at[:19]}Z" if at else ""


def _moved(invocation: Invocation, name: str, record: AliasRecord) -> None:
    terminal = invocation.terminal
    terminal.text(f"{name}@{record.alias} stands for {record.version} (record {record.number}).")
    terminal.result({"model": name, **vars(record)})
    terminal.next(f"scoretrail model history {name}")
