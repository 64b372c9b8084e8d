"""Every failure Scoretrail can report, with what is to be done about it and the exit code that says so.

A message has five parts: what is wrong, where, what was expected, what was got, and what to do. The class
decides the *disposition* (stop, retry, reject) and the *exit code*; both are read in two places only, the
command line and the scorer's loop.
"""

from __future__ import annotations

import difflib
import enum
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Disposition(enum.Enum):
    """What is done about an error."""

    STOP = "stop"
    RETRY = "retry"
    REJECT = "reject"


class ExitCode(enum.IntEnum):
    """What a process tells its scheduler; the classes below choose one each."""

    DONE = 0
    USAGE = 2
    GATE = 3
    DATA = 65
    LIMIT = 70
    RETRY = 75
    CONFIGURATION = 78


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is spelt most like ``name``, or None if none comes near.

    >>> nearest("distence", ["distance", "carrier"])
    'distance'
    """
    folded = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


class ScoretrailError(Exception):
    """Something Scoretrail names and reports."""

    disposition: ClassVar[Disposition] = Disposition.STOP
    exit_code: ClassVar[ExitCode] = ExitCode.DATA

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        """State the five parts of the message; only ``what`` is required."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        """Return the parts, one a line, the empty ones left out."""
        parts = (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("what to do", self.fix),
        )
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in parts if text)])

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Survive pickling, by which exceptions travel from executors: the parts are keyword-only."""
        return _rebuild, (type(self), self.what, self.where, self.expected, self.got, self.fix)

    def at(self, where: str) -> Self:
        """Return the same error with a more exact place."""
        return type(self)(self.what, where=where, expected=self.expected, got=self.got, fix=self.fix)


def _rebuild(
    cls: type[ScoretrailError],
    what: str,
    where: str | None,
    expected: str | None,
    got: str | None,
    fix: str | None,
) -> ScoretrailError:
    return cls(what, where=where, expected=expected, got=got, fix=fix)


# --- The caller asked for something that makes no sense -----------------------------------------------------


class UsageError(ScoretrailError):
    """A command line or a call that cannot be understood."""

    exit_code = ExitCode.USAGE


class PredicateError(UsageError):
    """A ``--where`` expression outside the supported grammar, or about columns that are not there."""


# --- A gate said no -----------------------------------------------------------------------------------------


class GateError(ScoretrailError):
    """A check that guards publication or confirms it said no."""

    exit_code = ExitCode.GATE


class HeldError(GateError):
    """A run is complete and waits for ``scoretrail runs release``."""


class DifferenceError(GateError):
    """Verification or reproduction found something other than what the trail says."""


# --- The data or the bundle is bad --------------------------------------------------------------------------


class DataError(ScoretrailError):
    """Input, output or bundle that cannot be used as it is."""


class SchemaMismatchError(DataError):
    """A column is missing, or has a type that cannot be widened to the declared one."""


class InputError(DataError):
    """Input files that cannot be read, or that are not there."""


class OutputTableError(DataError):
    """An output table that is not ours, has another schema, or would be damaged."""


class FeatureViewError(DataError):
    """A feature view that contradicts itself, or feature code that does what it may not."""


class ModelError(DataError):
    """An ONNX graph that is refused, or that does not fit the view."""


class BundleError(DataError):
    """A bundle whose bytes are not what its manifest says, or that does not repeat its golden rows."""


class RegistryError(DataError):
    """A name, version or alias that does not exist, exists already, or lies about the contract."""


class TrailError(DataError):
    """A run or a row whose trail cannot be found."""


class ScoreError(DataError):
    """A model that returned something other than its contract says."""


class PackedError(DataError):
    """Packed features that are damaged, or that another layout packed."""


class RefusedMessageError(DataError):
    """Messages that a topic does not take, as they are too large; the others of their transaction are not to blame."""


# --- A limit that an operator set was exceeded --------------------------------------------------------------


class LimitExceededError(ScoretrailError):
    """A limit that an operator set was exceeded; nothing was published."""

    exit_code = ExitCode.LIMIT


class DeadLetterLimitError(LimitExceededError):
    """More events were refused than ``stream.max_dead_letter_ratio`` allows."""


class RejectLimitError(LimitExceededError):
    """More rows were rejected than ``--max-reject-ratio`` allows."""


class RemovalLimitError(LimitExceededError):
    """More published rows would go than ``batch.max_remove_ratio`` allows without ``--allow-remove``."""


# --- The same command may succeed later ---------------------------------------------------------------------


class RetryLaterError(ScoretrailError):
    """The world moved or was away; the same command may succeed later."""

    disposition = Disposition.RETRY
    exit_code = ExitCode.RETRY


class ConflictError(RetryLaterError):
    """Another writer was faster; what this one knew is out of date."""


class InputChangedError(RetryLaterError):
    """An input file changed between planning and scoring."""


class StorageError(RetryLaterError):
    """A storage operation failed for a reason that may pass."""


class EngineError(RetryLaterError):
    """Spark failed for a reason that is not in the data."""


class StoreUnavailableError(RetryLaterError):
    """The online store gave no answer in time, or refused to give one."""


class ServiceError(RetryLaterError):
    """A Kafka or Valkey of our own did not start, did not answer, or did not end."""


class BrokerError(RetryLaterError):
    """A broker did not answer in time, or nobody knows whether it did what it was asked."""


class FencedError(RetryLaterError):
    """Another process has this worker's slot, or the broker gave up on it; it must end."""


class StaleGroupError(RetryLaterError):
    """The group moved on between reading and committing: the partitions may be another worker's."""


# --- The installation or its configuration is wrong ---------------------------------------------------------


class ConfigurationError(ScoretrailError):
    """A setting, a dependency or a machine that is not as it must be."""

    exit_code = ExitCode.CONFIGURATION


class DependencyError(ConfigurationError):
    """A library, or Java, that is missing or of the wrong version; the message says how to install it."""


class ChecksumError(ConfigurationError):
    """A file that was fetched is not the one that was pinned."""


class OffsetError(ConfigurationError):
    """A place to read from that is not there: nothing was committed, or retention removed what comes next."""


class PlatformError(ConfigurationError):
    """A machine on which the golden rows do not give their recorded bits."""


# --- Storage preconditions: control flow for the callers that race on purpose -------------------------------


class ObjectExistsError(DataError):
    """An exclusive create found the object there already."""


class ObjectNotFoundError(DataError):
    """An object that was asked for is not there."""
