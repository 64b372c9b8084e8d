"""The model card, rendered from the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scoretrail.model.manifest import Manifest, Metric


def render(manifest: Manifest) -> str:
    """Return the card of a bundle as Markdown."""
    card, training, profile = manifest.card, manifest.training, manifest.profile
    sections = (
        ("Intended use", [card.intended_use]),
        ("Limitations", [card.limitations]),
        ("Changes since the previous version", [card.changes or "First version, or not stated."]),
        ("Inputs", _table(("input", "type", "missing", "range or categories", "meaning"), _inputs(manifest))),
        *_stored(manifest),
        ("Output", _bullets(_output(manifest))),
        (
            "Metrics",
            _table(
                ("metric", "value", "interval", "on"),
                ((m.name, f"{m.value:.4f}", _interval(m), m.data) for m in manifest.metrics),
            ),
        ),
        (
            "Training",
            _bullets(
                [
                    f"window: {training.window_start or 'not stated'} to {training.window_end or 'not stated'}",
                    f"rows: {training.rows if training.rows is not None else 'not stated'}",
                    f"data sha256: `{training.data_sha256 or 'not stated'}`",
                    f"seed: {training.seed if training.seed is not None else 'not stated'}",
                    f"parameters: `{training.parameters}`",
                    f"code commit: `{training.code_commit or 'not stated'}`",
                    f"lock sha256: `{training.lock_sha256 or 'not stated'}`",
                ]
            ),
        ),
        (
            "Resources",
            _bullets(
                [
                    f"bundle {profile.bundle_bytes / 2**20:.2f} MiB, loads in {profile.load_s:.2f} s",
                    f"peak memory {profile.peak_memory_bytes / 2**20:.0f} MiB",
                    f"a batch of {profile.batch_rows} rows, p50 / p95 / p99: "
                    + " / ".join(f"{ms:.2f} ms" for ms in (profile.p50_ms, profile.p95_ms, profile.p99_ms)),
                    f"measured on {profile.cpu}",
                    f"bits recorded on {manifest.platform.machine} with ONNX Runtime {manifest.platform.onnxruntime}",
                ]
            ),
        ),
        (
            "Files",
            _table(("file", "sha256"), ((name, f"`{sha}`") for name, sha in sorted(manifest.files.items()))),
        ),
    )
    head = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"Owner: {card.owner} · licence: {card.licence or 'not stated'} · registered {manifest.created_at}",
        "",
    ]
    body = [line for title, lines in sections for line in (f"## {title}", "", *lines, "")]
    return "\n".join(head + body)


def _output(manifest: Manifest) -> list[str]:
    output, guards = manifest.output, manifest.guards
    lines = [f"task: {output.task}"]
    if output.classes:
        lines.append(f"classes: {', '.join(output.classes)}")
    if manifest.threshold is not None:
        lines.append(f"decides for {output.classes[1]} from a score of {manifest.threshold:g}")
    if manifest.abstention:
        band = manifest.abstention
        lines.append(f"scores from {band.low:g} to below {band.high:g}: decision {band.decision!r}")
    lines.append(f"a score outside of {_span(guards.minimum, guards.maximum)} is rejected")
    if guards.cap_minimum is not None or guards.cap_maximum is not None:
        lines.append(f"capped to {_span(guards.cap_minimum, guards.cap_maximum)}")
    lines.append(f"called with {manifest.block or 'any number of'} rows at a time")
    lines.append(f"scored by {manifest.engine.name}: {manifest.engine.reason}")
    return lines


def _inputs(manifest: Manifest) -> Iterable[tuple[str, ...]]:
    view = manifest.view
    kept = [field for stored in view.get("stored", ()) for field in stored["fields"]]
    fields = {field["name"]: field for field in [*view["request"], *kept, *view["derived"]]}
    for name in manifest.view["inputs"]:
        field = fields[name]
        missing = "allowed" if field["nullable"] else "refused" if field["default"] is None else str(field["default"])
        values = _span(field["minimum"], field["maximum"])
        if field["categories"]:
            values = f"{len(field['categories'])} categories"
        yield (name, field["type"], missing, values, field["description"])


def _stored(manifest: Manifest) -> list[tuple[str, list[str]]]:
    """Return the section on stored features, where there are any."""
    sets = manifest.view.get("stored", ())
    rows = (
        (
            one["name"],
            one["key"],
            ", ".join(field["name"] for field in one["fields"]),
            _duration(one["max_age_s"]),
            f"{one['when_stale']}, but used up to {_duration(one['stale_ok_s'])}"
            if one["stale_ok_s"]
            else one["when_stale"],
            one["when_missing"],
            one["description"],
        )
        for one in sets
    )
    head = ("set", "looked up by", "features", "stale after", "when stale", "when missing", "meaning")
    return [("Stored features", _table(head, rows))] if sets else []


def _duration(seconds: int | None) -> str:
    return "never" if seconds is None else f"{seconds / 3600:g} h"


def _span(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "all finite values"
    return f"{'-∞' if low is None else f'{low:g}'} to {'∞' if high is None else f'{high:g}'}"


def _interval(metric: Metric) -> str:
    return "" if metric.low is None or metric.high is None else f"{metric.low:.4f} to {metric.high:.4f}"


def _cell(text: str) -> str:
    """Return text as one cell of a table: a bar or a line break in it would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(text) for text in row)} |" for row in rows]
    return lines if len(lines) > 2 else ["Not stated."]  # noqa: PLR2004
