"""Records on the wire ↔ columns: Avro single-object encoding, Confluent's framing of Avro or JSON, or JSON, told apart record by record.

Used by the gate of `jobs/features` and by whoever reads or writes a topic. A record never raises: it is refused with a reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from fastavro.schema import fingerprint, to_parsing_canonical_form
from numpy.typing import NDArray

from schemas.acceptance import Code, Rule, rules
from schemas.avro_columns import Incompatible, Reader, compile_reader
from schemas.avro_cursor import Column, Rows
from schemas.envelope import Envelope, within
from schemas.errors import DefinitionError
from schemas.event_time import HINT, finer_unit, plausible_as_seconds, too_early
from schemas.json_columns import read_json, read_objects
from schemas.registry import Registry, UnknownSchema
from schemas.schema import Schema, SchemaSet
from schemas.single_object import HEADER_BYTES, SINGLE_OBJECT, Encoder, encode, marker, read_object
from schemas.table_columns import read_table
from schemas.times import show_ms
from schemas.types import DataType

__all__ = ["BAD", "MARKER", "NO_TIME", "OK", "SINGLE_OBJECT", "Decoded", "Decoder", "Encoder", "encode", "marker", "read_object"]

OK, MARKER, BAD = 0, 1, 2
NO_TIME = -(1 << 63)
MEBIBYTE = 1 << 20
_CONFLUENT_HEADER = 5  # 00 and the schema id, big endian


def now_ms() -> int:
    """The wall clock in ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a batch of n messages holds.

    Attributes:
        kind: int8[n]: 0 a record, 1 a marker, 2 refused.
        reasons: Why a record is refused, `code: detail`; None for the others.
        columns: Every field of the current schema in order → n values; None where null, marker or refused; timestamps in ms.
        time_ms: int64[n]: the event time of a record, or the time that a marker tells; `NO_TIME` where refused or too far ahead of the clock.
    """

    kind: NDArray[np.int8]
    reasons: list[str | None]
    columns: dict[str, list[Any]]
    time_ms: NDArray[np.int64]


class Decoder:
    """Reads the messages of one source as its current schema."""

    def __init__(
        self,
        schema_set: SchemaSet,
        name: str,
        *,
        registry: Registry | None = None,
        event_time: str,
        required: tuple[str, ...] = (),
        envelope: Envelope | None = None,
        earliest_ms: int | None = None,
        max_ahead_ms: int,
        max_bytes: int = MEBIBYTE,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        """Prepare for every known version of the schema.

        Args:
            schema_set: Where fingerprints are looked up.
            name: The source's schema.
            registry: For Confluent's framing; without one such records are refused.
            event_time: The field of the event's time.
            required: Further fields that may not be null.
            envelope: In what others' records are wrapped.
            earliest_ms: No event is earlier; the year 1 when None.
            max_ahead_ms: How far event time may be ahead of the clock.
            max_bytes: The largest message that is looked into.
            now_ms: The clock.

        Raises:
            DefinitionError: No such schema, or field.
        """
        self.schema = schema_set.current(name)
        for field in (event_time, *required):
            if field not in self.schema.columns:
                raise DefinitionError(f'{self.schema.path}: no field "{field}"; there are {", ".join(self.schema.columns)}')
        if self.schema.columns[event_time] is not DataType.TIMESTAMP:
            hint = next(field.hint for field in self.schema.fields if field.name == event_time)
            raise DefinitionError(
                f'{self.schema.path}: field "{event_time}" is {self.schema.columns[event_time]}; event time is timestamp-millis{hint}'
            )
        self._schemas = schema_set
        self._registry = registry
        self._event_time = event_time
        self._envelope = envelope
        self._theirs = within(self.schema, envelope)
        self._earliest_ms = earliest_ms
        found = rules(self.schema.fields, event_time=event_time, earliest_ms=earliest_ms, required={event_time, *required})
        self._rules = {field.name: [rule for rule in found if rule.field == field.name] for field in self.schema.fields}
        self._max_ahead_ms = max_ahead_ms
        self._max_bytes = max_bytes
        self._now_ms = now_ms
        self._own = {schema.fingerprint: schema for schema in schema_set.versions(name)}
        self._marker = schema_set.current("watermark")
        self._readers: dict[bytes | int, tuple[Reader, bool] | str | None] = {}

    def decode(self, bodies: Sequence[bytes | None]) -> Decoded:
        """Read a batch.

        Args:
            bodies: n message values, as they are in Kafka; None is a tombstone.

        Returns:
            One kind, reason and value of each column per message, in order.

        Raises:
            ServiceError: The registry does not answer. Nothing else is raised for whatever the messages hold.
        """
        count = len(bodies)
        batch = _Batch(self.schema, count)
        alike = self._alike(bodies)
        groups = self._groups(bodies, batch) if alike is None else {alike: range(count)}
        for key, members in groups.items():
            rows = np.arange(count) if len(members) == count else np.array(members, dtype=np.int64)
            messages = [bodies[row] or b"" for row in members] if len(members) < count else bodies
            found = None if key is None else self._reader(key)
            if found is None:
                texts = messages if key is None else [body[_CONFLUENT_HEADER:] for body in messages]  # type: ignore[index]
                self._keep(batch, rows, *read_json(texts, self._theirs, self._envelope))  # type: ignore[arg-type]  # no None is left
                continue
            if isinstance(found, str):
                for row in members:
                    batch.refuse(row, found)
                continue
            reader, is_marker = found
            lengths = np.fromiter(map(len, messages), dtype=np.int64, count=len(members))  # type: ignore[arg-type]
            ends = np.cumsum(lengths)
            starts = ends - lengths + (_CONFLUENT_HEADER if isinstance(key, int) else HEADER_BYTES)
            columns, faults = reader.read(b"".join(messages), starts, ends)  # type: ignore[arg-type]
            if is_marker:
                told = columns["event_time"].values
                batch.mark(rows, faults, np.where(told > self._now_ms() + self._max_ahead_ms, NO_TIME, told))
            else:
                self._keep(batch, rows, columns, faults)
        return batch.decoded()

    def _alike(self, bodies: Sequence[bytes | None]) -> bytes | None:
        """The fingerprint that all messages begin with, as those of most batches do; None where they do not, or one is too large."""
        head = bodies[0][:HEADER_BYTES] if bodies and bodies[0] else b""
        if len(head) < HEADER_BYTES or not head.startswith(SINGLE_OBJECT):
            return None
        alike = all(body is not None and body.startswith(head) and len(body) <= self._max_bytes for body in bodies)
        return head[len(SINGLE_OBJECT) :] if alike else None

    def _groups(self, bodies: Sequence[bytes | None], batch: _Batch) -> Mapping[bytes | int | None, Sequence[int]]:
        """What each message is written with → their rows; those that cannot be read are refused."""
        groups: dict[bytes | int | None, list[int]] = {}
        for row, body in enumerate(bodies):
            if not body:
                batch.refuse(row, "tombstone: the message has no value" if body is None else "empty: the message has no bytes")
            elif len(body) > self._max_bytes:
                batch.refuse(row, f"too-large: {len(body)} bytes; allowed: {self._max_bytes}")
            else:
                key = _format(body)
                if isinstance(key, str):
                    batch.refuse(row, key)
                else:
                    groups.setdefault(key, []).append(row)
        return groups

    def decode_objects(self, records: Sequence[Mapping[str, Any]]) -> Decoded:
        """Read records that are JSON objects already, as `json.loads` gives them: kinds, reasons and values as `decode` has them of their texts.

        Args:
            records: n objects; a time is an integer in the unit of its logical type, or a text of ISO 8601.
        """
        batch = _Batch(self.schema, len(records))
        self._keep(batch, np.arange(len(records)), *read_objects(records, self._theirs, self._envelope))
        return batch.decoded()

    def decode_table(self, table: pa.Table) -> Decoded:
        """Read records that are the rows of a table: kinds, reasons and values as `decode` has them of the same records in Avro.

        Args:
            table: n rows. Columns are found by name, others passed over; what may stand for what is as of `schemas.conform`. Nulls and values that a field
                refuses cost their rows only.

        Raises:
            DataError: A column is missing, of another type, or has a value that its type cannot hold.
        """
        batch = _Batch(self.schema, len(table))
        self._keep(batch, np.arange(len(table)), *read_table(table, self.schema))
        return batch.decoded()

    def _keep(self, batch: _Batch, rows: Rows, columns: dict[str, Column], faults: list[str | None]) -> None:
        good = np.array([fault is None for fault in faults], dtype=bool)
        for field in self.schema.fields:
            values, present = columns[field.name].values, good & ~columns[field.name].nulls
            if field.name == self._event_time:
                self._too_far_ahead(faults, present, values)
            for rule in self._rules[field.name]:
                self._told(rule, faults, rule.breaks(values, present), values)
        batch.keep(rows, columns, faults, time_ms=columns[self._event_time].values)

    def _told(self, rule: Rule, faults: list[str | None], broken: NDArray[np.bool_], values: NDArray[Any]) -> None:
        """The rows that break a rule, each with its value."""
        if not broken.any():
            return
        match rule.code:
            case Code.MISSING:
                _fault(faults, broken, f'missing: field "{rule.field}" is null', values)
            case Code.NON_FINITE:
                _fault(faults, broken, f'non-finite: field "{rule.field}" is {{}}', values)
            case Code.NOT_32_BITS:
                _fault(faults, broken, f'wrong-type: field "{rule.field}": {{}} is no 32-bit integer', values)
            case Code.OUT_OF_RANGE:
                _fault(faults, broken, f'out-of-range: field "{rule.field}": {{}} ms is not in the years 1 to 9999', values)
            case Code.TOO_EARLY:
                assert self._earliest_ms is not None, "else it has no such rule"
                reason = f"too-early: {too_early(rule.field, '{}', self._earliest_ms)}"
                _fault(faults, broken & plausible_as_seconds(values), reason + HINT.format("seconds"), values, show=show_ms)
                _fault(faults, broken, reason, values, show=show_ms)

    def _too_far_ahead(self, faults: list[str | None], present: NDArray[np.bool_], values: NDArray[np.int64]) -> None:
        ahead = present & (values > self._now_ms() + self._max_ahead_ms)
        if ahead.any():
            reason = f"future: {self._event_time} {{}} is more than {self._max_ahead_ms / 1000:g} s ahead of the clock"
            _fault(
                faults,
                ahead,
                reason + "{}",
                values,
                show=show_ms,
                then=lambda time: HINT.format(unit) if (unit := finer_unit(time)) else "",
            )

    def _reader(self, key: bytes | int) -> tuple[Reader, bool] | str | None:
        """How records with this fingerprint or schema id are read (and whether they are markers), why they are refused, or None: as JSON."""
        if key not in self._readers:
            if isinstance(key, int):
                if self._registry is None:
                    return f"unknown-schema: id {key}: no registry is set (TIDEMARK_REGISTRY)"  # not kept: there are 2³² of them
                try:
                    self._readers[key] = self._registered(key, self._registry)
                except UnknownSchema as error:
                    return f"unknown-schema: id {key}: {error}"  # not kept: the registry may learn it
            else:
                found = self._known(key)
                if isinstance(found, str):
                    return found  # not kept: there are 2⁶⁴ of them
                self._readers[key] = found
        return self._readers[key]

    def _registered(self, schema_id: int, registry: Registry) -> tuple[Reader, bool] | str | None:
        writer = registry.schema(schema_id)
        if writer is None:
            return None
        if isinstance(writer, Mapping) and _fingerprint(writer) == self._marker.fingerprint:
            return compile_reader(writer, self._marker), True
        try:
            return compile_reader(writer, self._theirs), False
        except Incompatible as error:
            return f'incompatible-schema: id {schema_id} cannot be read as "{self.schema.name}": {error}'

    def _known(self, print_: bytes) -> tuple[Reader, bool] | str:
        if print_ in self._own:
            return compile_reader(self._own[print_].avro, self._theirs), False  # checked when the set was loaded
        if print_ == self._marker.fingerprint:
            return compile_reader(self._marker.avro, self._marker), True
        other = self._schemas.by_fingerprint(print_)
        if other is None:
            return f'unknown-fingerprint: {print_.hex()} is no version of "{self.schema.name}"'
        return f'unknown-fingerprint: {print_.hex()} is schema "{other.name}", expected "{self.schema.name}"'


class _Batch:
    """Collects what the groups of a batch yield, in message order."""

    def __init__(self, schema: Schema, count: int) -> None:
        self._schema = schema
        self._count = count
        self._kind = np.full(count, BAD, dtype=np.int8)
        self._reasons: list[str | None] = [None] * count
        self._columns: dict[str, list[Any]] = {}
        self._time_ms = np.full(count, NO_TIME, dtype=np.int64)

    def refuse(self, row: int, reason: str) -> None:
        self._reasons[row] = reason

    def mark(self, rows: Rows, faults: list[str | None], time_ms: NDArray[np.int64]) -> None:
        self._settle(rows, faults, MARKER, time_ms)

    def keep(self, rows: Rows, columns: dict[str, Column], faults: list[str | None], *, time_ms: NDArray[np.int64]) -> None:
        bad = self._settle(rows, faults, OK, time_ms)
        for field in self._schema.fields:
            column = columns[field.name]
            values = column.values.tolist()
            for index in np.flatnonzero(column.nulls | bad).tolist():
                values[index] = None
            if len(rows) == self._count:
                self._columns[field.name] = values
            else:
                whole = self._columns.setdefault(field.name, [None] * self._count)
                for row, value in zip(rows.tolist(), values, strict=True):
                    whole[row] = value

    def decoded(self) -> Decoded:
        columns = {field.name: self._columns.get(field.name) or [None] * self._count for field in self._schema.fields}
        return Decoded(kind=self._kind, reasons=self._reasons, columns=columns, time_ms=self._time_ms)

    def _settle(self, rows: Rows, faults: list[str | None], kind: int, time_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        bad = np.array([fault is not None for fault in faults], dtype=bool)
        self._kind[rows[~bad]] = kind
        self._time_ms[rows[~bad]] = time_ms[~bad]
        for index in np.flatnonzero(bad).tolist():
            self._reasons[rows[index]] = faults[index]
        return bad


def _fingerprint(writer: Mapping[str, Any]) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(dict(writer)), "CRC-64-AVRO"))


def _format(body: bytes) -> bytes | int | str | None:
    """The writer's fingerprint or schema id, None for JSON, or why it is none of them."""
    first = body[0]
    if first == 0xC3 and body[1:2] == b"\x01":
        return body[2:HEADER_BYTES] if len(body) >= HEADER_BYTES else "truncated: the Avro header ends early"
    if first == 0:
        return int.from_bytes(body[1:_CONFLUENT_HEADER], "big") if len(body) >= _CONFLUENT_HEADER else "truncated: the schema id ends early"
    if first in b"{ \t\r\n":
        return None
    return f"unknown-format: first byte {first:02x}; allowed: Avro single-object (c3 01), Confluent (00) or JSON"


def _fault(
    faults: list[str | None],
    rows: NDArray[np.bool_],
    reason: str,
    values: NDArray[Any],
    *,
    show: Callable[[Any], str] = str,
    then: Callable[[Any], str] = lambda value: "",
) -> None:
    for row in np.flatnonzero(rows).tolist():
        if faults[row] is None:
            faults[row] = reason.format(show(values[row]), then(values[row]))
