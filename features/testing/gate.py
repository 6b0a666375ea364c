"""The gate of a test: a source's rows in the order of arrival → events, each with the watermark that judges it, and dead letters.

A row becomes the bytes that a producer would send, and the decoder of the jobs reads them: what it refuses here, it refuses there, for the same reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Int64s
from features.compiler.declarations import did_you_mean
from features.plan import SourcePlan
from features.testing.instants import Instant, ms_of
from schemas.conform import conform
from schemas.envelope import Envelope
from schemas.errors import DataError
from schemas.schema import Schema, SchemaSet
from schemas.wire import BAD, NO_TIME, OK, Decoder, Encoder, marker

Row = Mapping[str, Any] | bytes
"""A record by field name, a time as a datetime, ISO 8601 with offset or ms since the epoch; or a message's value, as the topic holds it."""

FUTURE_SKEW_MS = 300_000
"""How far ahead of the clock an event time may be: the default of the jobs' setting."""

_NO_CLOCK_MS = 1 << 62
"""Later than all that a record can tell."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A row that the gate refuses.

    Attributes:
        row: As it was given.
        reason: `code: detail`, as the dead letter's header has it.
    """

    row: Row
    reason: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the gate makes of a source's m rows.

    Attributes:
        rows: As they were given.
        events: The n that are events, in the order of arrival: the columns of the source.
        place: int64[n], which row each is.
        watermark_ms: int64[n], the watermark that decides whether it is late: that of the rows up to it, itself included.
        reached_ms: The watermark after the last row; None before there is one.
        refused: (which row, the gate's reason) of those that are refused, in the order of arrival.
    """

    rows: Sequence[Row]
    events: pa.Table
    place: Int64s
    watermark_ms: Int64s
    reached_ms: int | None
    refused: tuple[tuple[int, str], ...]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The rows that are refused."""
        return [DeadLetter(row=self.rows[place], reason=reason) for place, reason in self.refused]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Checks the rows of one source.

    Attributes:
        source: Its plan.
        schemas: Where its schema is.
        now_ms: The clock that event times may not be ahead of; None where a test has none.
    """

    source: SourcePlan
    schemas: SchemaSet
    now_ms: int | None = None

    def check(self, given: Sequence[Row] | pa.Table) -> Checked:
        """Read rows, or a table whose columns are the schema's fields.

        Raises:
            DataError: Rows that no producer could send, a line each: a field that the schema does not have, or what no record can hold.
        """
        schema, source = self.schemas.current(self.source.schema), self.source
        rows: Sequence[Row]
        if isinstance(given, pa.Table):
            rows, bodies = given.to_pylist(), _published(given, schema, source)
        else:
            rows = list(given)
            bodies = _sent(rows, schema, source)
        decoded = self._decoder().decode(bodies)
        place = np.flatnonzero(decoded.kind == OK)
        columns = {name: pa.array(values, type=source.columns[name].arrow) for name, values in decoded.columns.items()}
        newest = np.maximum.accumulate(decoded.time_ms)
        watermark = np.where(newest == NO_TIME, NO_TIME, newest - source.lateness_ms)
        reached = int(watermark[-1]) if len(watermark) else NO_TIME
        return Checked(
            rows=rows,
            events=pa.table(columns).filter(pa.array(decoded.kind == OK)),
            place=place,
            watermark_ms=watermark[place],
            reached_ms=None if reached == NO_TIME else reached,
            refused=tuple((n, str(decoded.reasons[n])) for n in np.flatnonzero(decoded.kind == BAD).tolist()),
        )

    def _decoder(self) -> Decoder:
        now = _NO_CLOCK_MS if self.now_ms is None else self.now_ms
        return Decoder(
            self.schemas,
            self.source.schema,
            event_time=self.source.event_time,
            required=() if self.source.id is None else (self.source.id,),
            envelope=self.source.envelope,
            earliest_ms=self.source.earliest_ms,
            max_ahead_ms=FUTURE_SKEW_MS,
            now_ms=lambda: now,
        )


def heartbeat(at: Instant) -> bytes:
    """A row that is no event, but says that its topic has been published up to a time: the watermark moves, and tiles close."""
    return marker(ms_of(at))


def json_of(record: Mapping[str, Any], where: str) -> bytes:
    """A record as JSON.

    Raises:
        DataError: It holds what JSON has no word for; `where` begins the message.
    """
    try:
        return json.dumps(dict(record), default=_text).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}; allowed are text, numbers, booleans, None, dates and datetimes") from None


def _text(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} is no value of a record")


def _sent(rows: Sequence[Row], schema: Schema, source: SourcePlan) -> list[bytes]:
    bodies, faults = [], []
    for place, row in enumerate(rows):
        try:
            bodies.append(row if isinstance(row, bytes) else _body(row, schema, source, f"{source.name}[{place}]"))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return bodies


def _body(record: Mapping[str, Any], schema: Schema, source: SourcePlan, where: str) -> bytes:
    """A record as a producer sends it in JSON. The gate ignores what the schema does not name; of a test it is a misspelling."""
    if source.envelope is None:
        known = {name for field in schema.fields for name in (field.name, *field.path[:1])}
        unknown = [name for name in record if name not in known]
        if unknown:
            raise DataError(f'{where}: schema "{schema.name}" has no field "{unknown[0]}"; {did_you_mean(str(unknown[0]), schema.columns)}')
    if source.envelope is Envelope.CONNECT and record.keys() != {"schema", "payload"}:
        record = {"schema": None, "payload": record}
    return json_of(record, where)


def _published(table: pa.Table, schema: Schema, source: SourcePlan) -> list[bytes]:
    """A table's rows as `tidemark publish` sends them."""
    columns = conform(table, schema, where=source.name)
    whole = [columns[f.name].cast(pa.int64()) if pa.types.is_timestamp(f.type) else columns[f.name] for f in columns.schema]
    return Encoder(schema).batch({name: column.to_pylist() for name, column in zip(columns.column_names, whole, strict=True)})
