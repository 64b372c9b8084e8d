"""Keeps the rejects table in step with the scored one: added before the scores, put right after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.batch.output.ledger import Ledger
from jobs.batch.output.merge import ledger_of, merge_files
from scoretrail.storage import Storage, join
from scoretrail.trail.output import KEY_DIGITS
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from scoretrail.table import OutputTable
    from scoretrail.trail.run import WorkMessage


def add_rejects(rejects: OutputTable, messages: Sequence[WorkMessage], metadata: Mapping[str, str]) -> None:
    """Add the rejects of work whose scores are about to be published; what is live already is not added again.

    Nothing goes yet: should the scores lose their race, or this process die, no other run's rejects are lost.

    Raises:
        ConflictError: another run published rejects of the same scopes at this moment.
    """
    there = {file.path for file in rejects.live_files()} if rejects.exists else set()
    adds = [file for message in messages for file in message.rejects if file.path not in there]
    if adds:
        touched = sorted({message.scope for message in messages if message.rejects})
        rejects.commit(adds=adds, removes=(), guard=rejects.scope_versions(touched), metadata=metadata)


def settle(
    scored: OutputTable,
    rejects: OutputTable,
    scopes: Collection[str],
    messages: Sequence[WorkMessage],
    options: Mapping[str, str],
) -> int | None:
    """Leave the rejects of live work, and no others; return their table's version, None where there is none.

    What goes are the rejects of work that was superseded, and those of a run that lost a race or died before its scores
    were published. A file's name tells its attempt: the attempt whose scores are live is the one whose rejects count.

    Args:
        scored: the scored table, which decides.
        rejects: the rejects table.
        scopes: the scopes to look at.
        messages: of work that was published a moment ago; another run may have taken its rejects for left over.
        options: storage settings.

    Raises:
        ConflictError: another run published rejects of these scopes at this moment.
    """
    rejects.reload()
    if not rejects.exists:
        return None
    entries = Ledger(Storage(join(scored.uri, TRAIL_FOLDER), options))
    right = entries.attempts_in(file for file in scored.live_files() if file.scope in scopes)
    ledger = ledger_of(rejects, options)
    there = [(file, ledger.attempts_in([file])) for file in rejects.live_files() if file.scope in scopes]
    missing = right - {attempt for _, attempts in there for attempt in attempts}
    wrong = [(file, attempts) for file, attempts in there if not attempts <= right]
    again = [one for one in messages if one.rejects and (one.work_key[:KEY_DIGITS], one.attempt) in missing]
    adds = [file for message in again for file in message.rejects]
    adds += [
        merge_files(rejects, [file], options, keep=frozenset(key for key, _ in attempts & right))
        for file, attempts in wrong
        if attempts & right
    ]
    if not adds and not wrong:
        return rejects.version
    touched = {file.scope for file, _ in wrong} | {message.scope for message in again}
    return rejects.commit(
        adds=adds,
        removes=[file for file, _ in wrong],
        guard=rejects.scope_versions(sorted(touched)),
        metadata={"scoretrail.settled": f"{len(wrong)} files of attempts that are not live went"},
    )
