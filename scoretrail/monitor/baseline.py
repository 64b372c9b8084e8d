"""The baseline of a bundle: the bins of everything that is watched, what training had in them, and when to worry."""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scoretrail import digest
from scoretrail.errors import BundleError
from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins
from scoretrail.monitor.measure import Reference
from scoretrail.monitor.tally import Gatherer
from scoretrail.monitor.threshold import Threshold, thresholds
from scoretrail.monitor.watch import Group, watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scoretrail.digest import Digest
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.manifest import Manifest

BASELINE: Final = "baseline.json"
"""The bundle's file that holds it."""
SAMPLE: Final = "baseline.parquet"
"""The bundle's file with rows of the reference, for pictures."""
FORMAT_VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class _Format(BaseModel):
    """What every baseline has had and will have, read first."""

    format_version: int


class Column(_Part):
    """One watched column as the reference had it."""

    group: Group
    name: str
    bins: Annotated[NumberBins | CategoryBins, Field(discriminator="kind")]
    counts: Counts
    """What the reference had in the bins."""
    deviation: float | None = None
    """Standard deviation of the numbers in the sample that the edges come from; None for words."""
    thresholds: dict[str, Threshold]
    """By measure."""
    usual: dict[str, float] = {}
    """Measure -> the most that a day of the reference had, held against all of it; empty where it had too few days."""

    @model_validator(mode="after")
    def _coherent(self) -> Column:
        if len(self.counts.bins) != self.bins.size:
            msg = f"{len(self.counts.bins)} counts for {self.bins.size} bins"
            raise ValueError(msg)
        if isinstance(self.bins, NumberBins):
            if any(low >= high for low, high in pairwise(self.bins.edges)):
                msg = "edges that do not ascend"
                raise ValueError(msg)
            centres = self.bins.centres
            if len(centres) not in {0, self.bins.size} or any(low > high for low, high in pairwise(centres)):
                msg = "centres that are not those of the bins"
                raise ValueError(msg)
        missing = thresholds(is_number=isinstance(self.bins, NumberBins)).keys() - self.thresholds.keys()
        if missing:
            msg = f"no threshold for {', '.join(sorted(missing))}"
            raise ValueError(msg)
        return self

    @property
    def reference(self) -> Reference:
        """What later counts are measured against."""
        return Reference(self.bins, self.counts, self.deviation, self.group == "output")


class Baseline(_Part):
    """What a model was trained on, as far as later data is held against it."""

    format_version: int = FORMAT_VERSION
    rows: int
    """Of the reference, all of which were counted."""
    sample_rows: int
    """Of the even sample that the edges of the bins come from."""
    day_begins: int
    """The hour, in UTC, in which the least happens: where the reference's days are parted."""
    days: int
    """Of the reference, with enough rows to say what is usual."""
    columns: tuple[Column, ...]

    def to_bytes(self) -> bytes:
        """Return the baseline as canonical JSON."""
        return digest.canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Baseline:
        """Return the baseline that :meth:`to_bytes` wrote.

        Raises:
            BundleError: it is none, or one of a format that this version does not know.
        """
        try:
            format_version = _Format.model_validate_json(data).format_version
            if format_version != FORMAT_VERSION:
                raise BundleError(
                    "the baseline was made for another version of Scoretrail",
                    where=BASELINE,
                    expected=f"format {FORMAT_VERSION}",
                    got=f"format {format_version}",
                    fix="register the model again",
                )
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BundleError("the baseline cannot be read", where=where or BASELINE, got=str(first["msg"])) from error

    @cached_property
    def sha256(self) -> Digest:
        """The digest of the baseline's bytes, by which a tally says in whose bins it was counted."""
        return digest.of_bytes(self.to_bytes())

    def gatherer(self, view: FeatureView, manifest: Manifest) -> Gatherer:
        """Return what counts scored batches in these bins.

        Args:
            view: the bundle's view.
            manifest: the bundle's manifest.

        Raises:
            BundleError: the baseline is of another view or model.
        """
        columns = watched(view, manifest)
        ours = [(one.group, one.name) for one in self.columns]
        if ours != [(one.group, one.name) for one in columns]:
            raise BundleError(
                "the baseline is of another model",
                where=BASELINE,
                expected=", ".join(one.name for one in columns),
                got=", ".join(one.name for one in self.columns),
                fix="register the model with the data it was trained on",
            )
        return Gatherer(self.sha256, [(one, column.bins) for one, column in zip(columns, self.columns, strict=True)])


def baseline_of(files: Mapping[str, bytes]) -> Baseline | None:
    """Return a bundle's baseline; None where it has none.

    Raises:
        BundleError: it cannot be read.
    """
    data = files.get(BASELINE)
    return None if data is None else _parsed(data)


def gatherer_of(files: Mapping[str, bytes], bundle: Bundle) -> Gatherer | None:
    """Return what counts the batches that a bundle scores; None where it has no baseline.

    Raises:
        BundleError: the baseline cannot be read, or is of another model.
    """
    found = baseline_of(files)
    return None if found is None else found.gatherer(bundle.view, bundle.manifest)


@lru_cache(maxsize=4)
def _parsed(data: bytes) -> Baseline:
    return Baseline.from_bytes(data)
