"""From records to rows: the first half of a micro-batch, which needs neither store nor model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from jobs.stream.message.envelope import MODEL_VERSION, open_envelope
from jobs.stream.message.event import untimely_rows
from jobs.stream.message.refusal import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.stream.handling.lane import Lane, Lanes
    from jobs.stream.message.envelope import Envelope, EventPolicy
    from jobs.stream.record import Record


@dataclass(frozen=True)
class Rows:
    """Decoded events of one lane."""

    lane: Lane
    positions: list[int]
    """Of each row, among the records of the micro-batch."""
    envelopes: list[Envelope]
    batch: pa.RecordBatch
    """The view's request columns; with those of stored features once they were looked up."""

    def take(self, rows: Sequence[int]) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.lane,
            [self.positions[row] for row in rows],
            [self.envelopes[row] for row in rows],
            self.batch.take(pa.array(rows, pa.int64())),
        )

    def parted(self, outcomes: Sequence[int]) -> list[Rows]:
        """Return the rows in parts, those whose records ask for the same outcome together; as a rule it is one part.

        Args:
            outcomes: of each record of the micro-batch.
        """
        asked = [outcomes[i] for i in self.positions]
        if len(set(asked)) <= 1:
            return [self]
        return [self.take([row for row, one in enumerate(asked) if one == each]) for each in sorted(set(asked))]


Refused = dict[int, tuple["Lane", Refusal]]
"""Position among the records -> why there is no prediction, and which lane the dead letter is to name."""


@dataclass(frozen=True)
class Taken:
    """What became of records: each is a row of one lane, or refused."""

    rows: list[Rows] = field(default_factory=list)
    refused: Refused = field(default_factory=dict)


def take_records(records: Sequence[Record], lanes: Lanes, policy: EventPolicy) -> Taken:
    """Return records as rows, those of one lane together."""
    taken = Taken()
    opened: dict[Lane, list[tuple[int, Envelope]]] = {}
    for i, record in enumerate(records):
        envelope = open_envelope(record, policy)
        if isinstance(envelope, Refusal):
            taken.refused[i] = (lanes.lane(record.topic), envelope)
        elif not lanes.allows(envelope.model_version):
            refusal = Refusal(Reason.MODEL_VERSION, "an allowed version", MODEL_VERSION)
            taken.refused[i] = (lanes.lane(record.topic), refusal)
        else:
            opened.setdefault(lanes.lane(record.topic, envelope.model_version), []).append((i, envelope))
    for lane, entries in opened.items():
        rows = _timely(_decoded(lane, entries, records, taken.refused), records, policy, taken.refused)
        if rows.positions:
            taken.rows.append(rows)
    return taken


def _decoded(lane: Lane, entries: Sequence[tuple[int, Envelope]], records: Sequence[Record], refused: Refused) -> Rows:
    decode = lane.event_type.decode
    positions, envelopes, values = [], [], []
    for i, envelope in entries:
        row = decode(records[i].value or b"")
        if isinstance(row, Refusal):
            refused[i] = (lane, row)
        else:
            positions.append(i)
            envelopes.append(envelope)
            values.append(row)
    return Rows(lane, positions, envelopes, lane.event_type.to_batch(values))


def _timely(rows: Rows, records: Sequence[Record], policy: EventPolicy, refused: Refused) -> Rows:
    """Return the rows whose event time can be."""
    given = [records[i] for i in rows.positions]
    future, untold = untimely_rows(rows.batch.column(1), given, policy.max_future_s)
    if not len(future) and not len(untold):
        return rows
    name = rows.batch.schema.names[1]
    within = f"at most {policy.max_future_s:g} s after the record's timestamp"
    found = {
        **dict.fromkeys(future.tolist(), Refusal(Reason.FROM_FUTURE, within, name)),
        **dict.fromkeys(untold.tolist(), Refusal(Reason.WRONG_TYPE, "a year from 1 to 9999", name)),
    }
    for row, refusal in found.items():
        refused[rows.positions[row]] = (rows.lane, refusal)
    return rows.take([row for row in range(len(given)) if row not in found])
