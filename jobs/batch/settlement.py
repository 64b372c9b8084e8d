"""Holds the rejects table to the scored one: the rejects of what is live, and of nothing else, whoever wrote last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.batch.ledger import Ledger
from jobs.batch.merge import ledger_of, merge_files
from scoretrail.storage import Storage, join
from scoretrail.table import KEY_DIGITS
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from scoretrail.table import OutputTable
    from scoretrail.trail.run import WorkMessage


def settle(
    scored: OutputTable,
    rejects: OutputTable,
    scopes: Collection[str],
    messages: Sequence[WorkMessage],
    options: Mapping[str, str],
) -> int | None:
    """Put right what another run left in the rejects table; return its version, None where there is none.

    Rejects are committed before the scores. A run that then loses the race for the scores, or dies, has left its
    rejects where those of the winner belong. A file's name tells its attempt, and the attempt whose scores are live is
    the one whose rejects count.

    Args:
        scored: the scored table, which decides.
        rejects: the rejects table.
        scopes: the scopes to look at.
        messages: of work that is live; those of other work are looked for in the trail when they are needed.
        options: storage settings.

    Raises:
        ConflictError: another run published rejects of these scopes at this moment.
    """
    rejects.reload()
    if not rejects.exists:
        return None
    trail = Storage(join(scored.uri, TRAIL_FOLDER), options)
    right = Ledger(trail).attempts_in(file for file in scored.live_files() if file.scope in scopes)
    ledger = ledger_of(rejects, options)
    there = [(file, ledger.attempts_in([file])) for file in rejects.live_files() if file.scope in scopes]
    wrong = [(file, attempts) for file, attempts in there if not attempts <= right]
    missing = right - {attempt for _, attempts in there for attempt in attempts}
    known = {(message.work_key[:KEY_DIGITS], message.attempt): message for message in messages}
    # Where a wrong attempt lies, a right one of the same key was pushed out: the same rows are refused by both.
    pushed_out = {key for _, attempts in wrong for key, _ in attempts - right}
    found = [
        known.get(attempt) or RunStore(trail).message_of(*attempt)
        for attempt in sorted(missing)
        if attempt in known or attempt[0] in pushed_out
    ]
    adds = [file for message in found if message is not None for file in message.rejects]
    adds += [
        merge_files(rejects, [file], options, keep=frozenset(key for key, _ in attempts & right))
        for file, attempts in wrong
        if attempts & right
    ]
    if not adds and not wrong:
        return rejects.version
    touched = {file.scope for file, _ in wrong} | {message.scope for message in found if message is not None}
    return rejects.commit(
        adds=adds,
        removes=[file for file, _ in wrong],
        guard=rejects.scope_versions(sorted(touched)),
        metadata={"scoretrail.settled": f"{len(wrong)} files of attempts that are not live; {len(adds)} added"},
    )
