"""Plan → Flink SQL: from the messages of a source to `checked`, each with its kind, its fields and the watermark that judges it.

Messages are read as they are and decoded by the gate, or, of a trusted source, by Flink's own Avro format. What follows is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from features.compiler import flink_avro
from features.compiler.flink_text import milliseconds, text, with_options
from features.plan import SourcePlan
from features.sql_text import indent, quote
from features.watermarks import TICK
from schemas.event_time import too_early
from schemas.schema import Schema
from schemas.types import DataType

OK, MARKER, BAD = 0, 1, 2  # kinds, as schemas.wire has them

TICKS_PER_S = 4

WATERMARK = "TO_TIMESTAMP_LTZ(`_stream_ms`, 3)"
"""The watermark of `checked`, row by row."""

PLACE = {
    "_key": "BYTES",
    "_headers": "MAP<STRING, BYTES>",
    "_topic": "STRING",
    "_partition": "INT",
    "_offset": "BIGINT",
}
"""What a message has in Kafka beside its value, name → Flink type."""


def raw(source: SourcePlan) -> str:
    """The relation of a source's messages."""
    return f"raw_{source.name}"


def heartbeats(source: SourcePlan) -> str:
    """The relation of what comes without a message: a row now and then, so that time moves in silence."""
    return f"heartbeats_{source.name}"


def messages(source: SourcePlan) -> str:
    """The relation of both: one function sees messages and heartbeats, and keeps time by them."""
    return f"messages_{source.name}"


def gate(source: SourcePlan) -> str:
    """The function that checks and decodes them."""
    return f"gate_{source.name}"


def clock(source: SourcePlan) -> str:
    """The function that keeps time, where no single gate does."""
    return f"clock_{source.name}"


def checked(source: SourcePlan) -> str:
    """The relation of all messages, checked: columns as of `checked_columns`."""
    return f"checked_{source.name}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the messages of a source are read.

    Attributes:
        value: What the table of messages has of their values, name → Flink type.
        options: Of that table, for values.
        kept: The columns of `value` that `checked` keeps beside the fields.
        called: The gate's call, a row named `_gate`; None where Flink decodes.
        kind: Of a message, over the relation `messages` and `_gate`.
        reason: Of a refusal.
        event_time_ms: The time that a message tells.
        event_ms: The event time of a message of kind `OK`.
        fields: Name → expression of a field's own type.
        letter: What a late event's letter has as its value, name → (Flink type, expression over `checked`).
        refused: The same of a dead letter.
    """

    value: Mapping[str, str]
    options: Mapping[str, str]
    kept: Mapping[str, str]
    called: str | None
    kind: str
    reason: str
    event_time_ms: str
    event_ms: str
    fields: Mapping[str, str]
    letter: Mapping[str, tuple[str, str]]
    refused: Mapping[str, tuple[str, str]]


def reading(source: SourcePlan, schema: Schema) -> Reading:
    """How a source is read: by Flink's Avro format where it is trusted, else by the gate."""
    return _by_flink(source, schema) if source.trusted else _by_gate(source)


def _by_gate(source: SourcePlan) -> Reading:
    def field(name: str, type_: DataType) -> str:
        decoded = f"`_gate`.{quote(name)}"
        return f"TO_TIMESTAMP_LTZ({decoded}, 3)" if type_ is DataType.TIMESTAMP else decoded

    body = {"_body": "BYTES"}
    untouched = {"_body": ("BYTES", "`_body`")}
    return Reading(
        value=body,
        options={"value.format": "raw"},
        kept=body,
        called=f"{quote(gate(source))}(`_body`, `_partition`, `_offset`)",
        kind="`_gate`.`_kind`",
        reason="`_gate`.`_reason`",
        event_time_ms="`_gate`.`_event_time_ms`",
        event_ms=f"`_gate`.{quote(source.event_time)}",
        fields={name: field(name, type_) for name, type_ in source.columns.items()},
        letter=untouched,
        refused=untouched,
    )


def _by_flink(source: SourcePlan, schema: Schema) -> Reading:
    """The header of single-object encoding is read as two columns more, and written again for letters: the same bytes."""
    timestamps = {name for name, type_ in source.columns.items() if type_ is DataType.TIMESTAMP and name != source.event_time}
    wire = {
        name: type_.replace("BIGINT", "TIMESTAMP_LTZ(3)") if name in timestamps else type_
        for name, type_ in flink_avro.columns(schema).items()
    }
    event_ms, ours = quote(source.event_time), _is_fingerprint(flink_avro.fingerprint(schema))
    fields = {name: f"CAST({quote(name)} AS DOUBLE)" if type_.startswith("FLOAT") else quote(name) for name, type_ in wire.items()}
    written = {name: f"CAST({quote(name)} AS FLOAT)" if type_.startswith("FLOAT") else quote(name) for name, type_ in wire.items()}
    ours = f"`_magic` = {flink_avro.MAGIC} AND {ours}"
    good, reason = ours, text(f'schema: not the current version of "{schema.name}", which a trusted source holds alone')
    if source.earliest_ms is not None:
        good = f"{ours} AND {event_ms} >= {source.earliest_ms}"
        early = too_early(source.event_time, "\0", source.earliest_ms).split("\0")
        said = f"{text(f'too-early: {early[0]}')} || CAST({event_ms} AS STRING) || {text(f' ms{early[1]}')}"
        reason = f"CASE WHEN {ours} THEN {said} ELSE {reason} END"
    header = {"_magic": "INT NOT NULL", "_fingerprint": "DOUBLE NOT NULL"}
    expressions = {"_magic": str(flink_avro.MAGIC), "_fingerprint": "`_fingerprint`"} | written | {source.event_time: "`_time_ms`"}
    return Reading(
        value=header | wire,
        options={"value.format": "avro", "value.avro.timestamp_mapping.legacy": "false"},
        kept={"_fingerprint": "DOUBLE"},
        called=None,
        kind=f"CASE WHEN `_partition` = {TICK} THEN {MARKER} WHEN {good} THEN {OK} ELSE {BAD} END",
        reason=reason,
        event_time_ms=f"CASE WHEN {good} THEN {event_ms} END",
        event_ms=event_ms,
        fields=fields | {source.event_time: f"TO_TIMESTAMP_LTZ({event_ms}, 3)"},
        letter={name: (type_, expressions[name]) for name, type_ in (header | wire).items()},
        refused={"_body": ("BYTES", "CAST(NULL AS BYTES)")},
    )


def _is_fingerprint(number: float) -> str:
    """Whether `_fingerprint` is this double, which may be none of arithmetic."""
    if math.isfinite(number):
        return f"`_fingerprint` = CAST({text(repr(number))} AS DOUBLE)"
    said = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return f"CAST(`_fingerprint` AS STRING) = {text(said)}"


def gate_columns(source: SourcePlan) -> dict[str, str]:
    """What the gate function returns, name → Flink type.

    Kind, reason, the time that the message tells, the watermark after it (null where a clock of its own tells that), and the fields, timestamps
    as BIGINT ms.
    """
    fields = {name: DataType.INT64.flink if type_ is DataType.TIMESTAMP else type_.flink for name, type_ in source.columns.items()}
    return {"_kind": "TINYINT", "_reason": "STRING", "_event_time_ms": "BIGINT", "_partition_watermark_ms": "BIGINT"} | fields


def message_columns(reading: Reading) -> dict[str, str]:
    """The columns of `messages`, name → Flink type: the value, the place, and the record's own time."""
    value = {name: type_.removesuffix(" NOT NULL") for name, type_ in reading.value.items()}
    return value | PLACE | {"_arrived": "TIMESTAMP_LTZ(3)"}


def checked_columns(source: SourcePlan, reading: Reading) -> dict[str, str]:
    """The columns of `checked`, name → Flink type.

    Fields are null where a message was refused or is a marker. `_time` and `_time_ms` are the event time, there the record's own.
    `_stream_ms` is the watermark of the stream and `_watermark_ms` the one that decides lateness; null before there is one.
    """
    own = {"_kind": "TINYINT", "_reason": "STRING", **{name: type_.flink for name, type_ in source.columns.items()}}
    times = {"_time": "TIMESTAMP_LTZ(3)", "_time_ms": "BIGINT", "_stream_ms": "BIGINT", "_watermark_ms": "BIGINT", "_arrived_ms": "BIGINT"}
    return own | times | dict(reading.kept) | PLACE


def raw_table(source: SourcePlan, reading: Reading, *, options: Mapping[str, str]) -> str:
    """The table of a source's messages. Without a watermark: that comes later, from event times."""
    value = "".join(f"  {quote(name)} {type_},\n" for name, type_ in reading.value.items())
    return f"""CREATE TABLE {quote(raw(source))} (
{value}  `_key` BYTES,
  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL,
  `_topic` STRING METADATA FROM 'topic' VIRTUAL,
  `_partition` INT METADATA FROM 'partition' VIRTUAL,
  `_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
  `_arrived` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
{with_options({**options, **reading.options})}
)"""


def heartbeats_table(source: SourcePlan) -> str:
    """The table of heartbeats."""
    options = {"connector": "datagen", "rows-per-second": str(TICKS_PER_S)}
    return f"CREATE TABLE {quote(heartbeats(source))} (\n  `_heartbeat` BIGINT\n) WITH (\n{with_options(options)}\n)"


def messages_query(source: SourcePlan, reading: Reading) -> str:
    """The relation `messages` from `raw` and `heartbeats`."""
    columns = message_columns(reading)
    known = {"_partition": str(TICK), "_offset": str(TICK), "_arrived": "TO_TIMESTAMP_LTZ(0, 3)"}
    nothing = [f"CAST({known.get(name, 'NULL')} AS {type_})" for name, type_ in columns.items()]
    return f"""SELECT {", ".join(map(quote, columns))} FROM {quote(raw(source))}
UNION ALL
SELECT {", ".join(nothing)} FROM {quote(heartbeats(source))}"""


def gate_query(source: SourcePlan, reading: Reading, *, gates: int) -> str:
    """The relation `checked` from `messages`.

    Lateness is decided by the watermark of the stream (`features.watermarks`) or by the newest time in the message's own partition, whichever is
    further: the second is the same however partitions are interleaved, so that what is read again after a fault is judged again as it was. Both
    are running maxima, state that is restored as the windows' own clocks are: what passes as on time here is never behind the clock of a window,
    even right after a restart. One gate tells the stream's watermark itself; otherwise a clock does, for which several subtasks bring their
    messages into one order first.
    """
    clocked = f"{quote(clock(source))}(`_partition`, `_offset`, {{}})"
    first = ["*", f"{milliseconds('`_arrived`')} AS `_arrived_ms`", "PROCTIME() AS `_seen`"]
    own = f"*,\n  {_running(f'MAX({reading.event_time_ms})', 'PARTITION BY `_partition` ')} - {source.lateness_ms} AS `_own_ms`"
    watermark, numbered = "`_partition_watermark_ms`", []
    if reading.called is not None:
        first.insert(1, f"{reading.called} AS `_gate`")
        watermark = "`_gate`.`_partition_watermark_ms`" if gates == 1 else watermark
    elif gates == 1:
        first.insert(1, f"{clocked.format(reading.event_time_ms)} AS `_partition_watermark_ms`")
    if gates > 1:
        number = clocked.format(f"{reading.event_time_ms}, `_number`")
        numbered = [f"*,\n  {_running('COUNT(*)')} AS `_number`", f"*,\n  {number} AS `_partition_watermark_ms`"]
    steps = [",\n  ".join(first), own, *numbered, f"*,\n  {_running(f'MAX({watermark})')} AS `_stream_ms`"]
    query = f"SELECT\n  {steps[0]}\nFROM {quote(messages(source))}"
    for step in steps[1:]:
        query = f"SELECT\n  {step}\nFROM (\n{indent(query)}\n)"
    fields = ",\n".join(f"  {field} AS {quote(name)}" for name, field in reading.fields.items())
    kept = ",\n".join(f"  {quote(name)}" for name in (*reading.kept, *PLACE))
    time = f"CASE WHEN {reading.kind} = {OK} THEN {reading.event_ms} ELSE `_arrived_ms` END"
    return f"""SELECT
  CAST({reading.kind} AS TINYINT) AS `_kind`,
  {reading.reason} AS `_reason`,
{fields},
  TO_TIMESTAMP_LTZ({time}, 3) AS `_time`,
  {time} AS `_time_ms`,
  `_stream_ms`,
  GREATEST(COALESCE(`_stream_ms`, `_own_ms`), COALESCE(`_own_ms`, `_stream_ms`)) AS `_watermark_ms`,
  `_arrived_ms`,
{kept}
FROM (
{indent(query)}
)"""


def _running(aggregate: str, partition: str = "") -> str:
    """An aggregate of all rows so far; without a partition they are brought into one order, by one subtask."""
    return f"{aggregate} OVER ({partition}ORDER BY `_seen` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
