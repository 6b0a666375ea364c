"""Plan → Flink SQL: the queries of `jobs/features`, as text. Nothing of Flink is imported.

`raw_<source>`, `ticks_<source>` → `messages_<source>` → gate → `checked_<source>` → on time, once → `events_<source>_<tile>` → `tiles_<view>` → closings.
Every relation named here is made a stream of its own by the job, so that nothing is decided or computed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from features.compiler.plan import Column, SourcePlan, ViewPlan
from features.watermarks import NONE, TICK
from schemas.types import DataType

OK, BAD = 0, 2  # kinds of the gate (schemas.wire); 1 is a marker

TICKS_PER_S = 4


def quote(name: str) -> str:
    """An identifier, whatever it is."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def interval(milliseconds: int) -> str:
    """A day-time interval literal, exact to the millisecond."""
    for unit, size in (("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1_000)):
        count, rest = divmod(milliseconds, size)
        if not rest and count < 100:  # two digits are what a unit takes without a precision
            return f"INTERVAL '{count}' {unit}"
    seconds, rest = divmod(milliseconds, 1_000)
    minutes, hours = seconds // 60 % 60, seconds // 3_600 % 24
    return f"INTERVAL '{seconds // 86_400} {hours:02}:{minutes:02}:{seconds % 60:02}.{rest:03}' DAY(3) TO SECOND(3)"


def raw(source: SourcePlan) -> str:
    """The relation of a source's messages as they are."""
    return f"raw_{source.name}"


def ticks(source: SourcePlan) -> str:
    """The relation of what comes without a message: a row now and then, so that time moves in silence."""
    return f"ticks_{source.name}"


def messages(source: SourcePlan) -> str:
    """The relation of both, which the gate reads: one function sees messages and ticks, and keeps time by them."""
    return f"messages_{source.name}"


def gate(source: SourcePlan) -> str:
    """The function that checks and decodes them."""
    return f"gate_{source.name}"


def checked(source: SourcePlan) -> str:
    """The relation of all messages, checked: columns as of `checked_columns`."""
    return f"checked_{source.name}"


def events(source: SourcePlan, tile_ms: int) -> str:
    """The relation of the events that count in tiles of one size."""
    return f"events_{source.name}_{tile_ms}"


def beats(source: SourcePlan, tile_ms: int) -> str:
    """The relation of the newest tile that the watermark of each row of `checked` closes."""
    return f"beats_{source.name}_{tile_ms}"


def tiles(view: ViewPlan) -> str:
    """The relation of a view's finished tiles."""
    return f"tiles_{view.name}"


def clock(source: SourcePlan) -> str:
    """The function that keeps time, where several gates decode."""
    return f"clock_{source.name}"


def gate_columns(source: SourcePlan) -> dict[str, str]:
    """What the gate function returns, name → Flink type.

    Kind, reason, the time that the message tells, the watermark after it (null where a clock of its own tells that), and the fields, timestamps
    as BIGINT ms.
    """
    fields = {name: DataType.INT64.flink if type_ is DataType.TIMESTAMP else type_.flink for name, type_ in source.columns.items()}
    return {"_kind": "TINYINT", "_reason": "STRING", "_told_ms": "BIGINT", "_reached_ms": "BIGINT"} | fields


MESSAGE = {
    "_key": "BYTES",
    "_body": "BYTES",
    "_headers": "MAP<STRING, BYTES>",
    "_topic": "STRING",
    "_partition": "INT",
    "_offset": "BIGINT",
}
"""A message as it is in Kafka, name → Flink type."""

MESSAGE_COLUMNS = MESSAGE | {"_arrived": "TIMESTAMP_LTZ(3)"}
"""The columns of `messages`: with the record's own time."""


def checked_columns(source: SourcePlan) -> dict[str, str]:
    """The columns of `checked`, name → Flink type.

    Fields are null where a message was refused or is a marker. `_time` and `_time_ms` are the event time, there the record's own.
    `_stream_ms` is the watermark of the stream and `_watermark_ms` the one that decides lateness; null before there is one.
    """
    own = {"_kind": "TINYINT", "_reason": "STRING", **{name: type_.flink for name, type_ in source.columns.items()}}
    times = {"_time": "TIMESTAMP_LTZ(3)", "_time_ms": "BIGINT", "_stream_ms": "BIGINT", "_watermark_ms": "BIGINT", "_arrived_ms": "BIGINT"}
    return own | times | MESSAGE


WATERMARK = "TO_TIMESTAMP_LTZ(`_stream_ms`, 3)"
"""The watermark of `checked`, row by row."""


def events_columns(source: SourcePlan) -> dict[str, str]:
    """The columns of `events`: the fields, `_time_ms`, and `_time` by which they are cut into tiles."""
    return {name: type_.flink for name, type_ in source.columns.items()} | {"_time_ms": "BIGINT", "_time": "TIMESTAMP_LTZ(3)"}


def tile_relation_columns(view: ViewPlan) -> dict[str, str]:
    """The columns of `tiles`: those of the topic, and `_closed`, the last millisecond of the tile."""
    keys = {column.name: column.type.flink for column in view.keys}
    return (
        keys
        | {"tile_start": "TIMESTAMP_LTZ(3)", "revision": "BIGINT"}
        | {c.name: c.type.flink for c in view.tile_columns}
        | {"_closed": "TIMESTAMP_LTZ(3)"}
    )


def raw_table(source: SourcePlan, *, options: Mapping[str, str]) -> str:
    """The table of a source's messages. Without a watermark: that is the gate's, which knows event times."""
    return f"""CREATE TABLE {quote(raw(source))} (
  `_key` BYTES,
  `_body` BYTES,
  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL,
  `_topic` STRING METADATA FROM 'topic' VIRTUAL,
  `_partition` INT METADATA FROM 'partition' VIRTUAL,
  `_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
  `_arrived` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
{with_options(options)}
)"""


def ticks_table(source: SourcePlan) -> str:
    """The table of ticks."""
    options = {"connector": "datagen", "rows-per-second": str(TICKS_PER_S)}
    return f"CREATE TABLE {quote(ticks(source))} (\n  `_tick` BIGINT\n) WITH (\n{with_options(options)}\n)"


def messages_query(source: SourcePlan) -> str:
    """The relation `messages` from `raw` and `ticks`."""
    columns = ", ".join(map(quote, MESSAGE_COLUMNS))
    nothing = [f"CAST({TICK if name in ('_partition', '_offset') else 'NULL'} AS {type_})" for name, type_ in MESSAGE.items()]
    return f"""SELECT {columns} FROM {quote(raw(source))}
UNION ALL
SELECT {", ".join(nothing)}, TO_TIMESTAMP_LTZ(0, 3) FROM {quote(ticks(source))}"""


def gate_query(source: SourcePlan, *, gates: int) -> str:
    """The relation `checked` from `messages`.

    Lateness is decided by the watermark of the stream (`features.watermarks`) or by the newest time in the message's own partition, whichever is
    further: the second is the same however partitions are interleaved, so that what is read again after a fault is judged again as it was. Both
    are running maxima, state that is restored as the windows' own clocks are: what passes as on time here is never behind the clock of a window,
    even right after a restart. One gate tells the stream's watermark itself; several bring their messages into one order first, for one clock.
    """
    fields = ",\n".join(f"  {_decoded(name, type_)} AS {quote(name)}" for name, type_ in source.columns.items())
    time = f"CASE WHEN `_gate`.`_kind` = {OK} THEN `_gate`.{quote(source.event_time)} ELSE `_arrived_ms` END"
    decoded = f"""SELECT
  *,
  {quote(gate(source))}(`_body`, `_partition`, `_offset`) AS `_gate`,
  {_milliseconds("`_arrived`")} AS `_arrived_ms`,
  PROCTIME() AS `_seen`
FROM {quote(messages(source))}"""
    own = f"{_running('MAX(`_gate`.`_told_ms`)', 'PARTITION BY `_partition` ')} - {source.lateness_ms} AS `_own_ms`"
    steps, reached = [decoded, own], "`_gate`.`_reached_ms`"
    if gates > 1:
        reached = "`_reached_ms`"
        steps.append(f"{_running('COUNT(*)')} AS `_number`")
        steps.append(f"{quote(clock(source))}(`_partition`, `_offset`, `_gate`.`_told_ms`, `_number`) AS {reached}")
    steps.append(f"{_running(f'MAX({reached})')} AS `_stream_ms`")
    query = steps[0]
    for step in steps[1:]:
        query = f"SELECT\n  *,\n  {step}\nFROM (\n{indent(query)}\n)"
    return f"""SELECT
  `_gate`.`_kind` AS `_kind`,
  `_gate`.`_reason` AS `_reason`,
{fields},
  TO_TIMESTAMP_LTZ({time}, 3) AS `_time`,
  {time} AS `_time_ms`,
  `_stream_ms`,
  GREATEST(COALESCE(`_stream_ms`, `_own_ms`), COALESCE(`_own_ms`, `_stream_ms`)) AS `_watermark_ms`,
  `_arrived_ms`,
  `_key`,
  `_body`,
  `_headers`,
  `_topic`,
  `_partition`,
  `_offset`
FROM (
{indent(query)}
)"""


def beats_query(source: SourcePlan, tile_ms: int, *, after_ms: int = NONE) -> str:
    """The relation `beats` from `checked`: `_beat`, the last millisecond of a tile; of tiles that ended before `after_ms` none."""
    beat = f"{_floor('(`_stream_ms` + 1)', tile_ms)} - 1"
    told = "`_stream_ms` IS NOT NULL" if after_ms == NONE else f"{beat} > {after_ms}"
    return f"SELECT TO_TIMESTAMP_LTZ({beat}, 3) AS `_beat` FROM {quote(checked(source))} WHERE {told}"


def is_late(tile_ms: int) -> str:
    """Whether an event of `checked` is behind the watermark for tiles of one size: its tile's last millisecond has passed."""
    return f"COALESCE({_floor('`_time_ms`', tile_ms)} + {tile_ms - 1} <= `_watermark_ms`, FALSE)"


def events_query(source: SourcePlan, tile_ms: int) -> str:
    """The relation `events` from `checked`: on time and, where the source says so, repeats of one id and event time counted once.

    Of repeats the smallest stays, by all fields in schema order, nulls first. They come out at the end of the tile, so `_time` is then its end.
    """
    fields = ", ".join(quote(name) for name in source.columns)
    on_time = f"SELECT {fields}, `_time_ms`, `_time` FROM {quote(checked(source))} WHERE `_kind` = {OK} AND NOT {is_late(tile_ms)}"
    if source.id is None or source.dedupe_ms is None:
        return on_time
    order = ", ".join(f"{quote(name)} ASC" for name in source.columns if name not in (source.id, source.event_time)) or "`_time_ms` ASC"
    return f"""WITH `on_time` AS (
  {on_time}
)
SELECT {fields}, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, {quote(source.id)}, `_time_ms`
      ORDER BY {order}
    ) AS `_copy`
  FROM {tumble("on_time", "_time", tile_ms)}
)
WHERE `_copy` = 1"""


def closing_query(view: ViewPlan) -> str:
    """How many tiles each interval of a view has: one row once the watermark has passed it, in order, from one subtask.

    Its own tiles count one each; a beat of every row of `checked`, zero each, closes intervals without tiles.
    """
    return f"""WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM {quote(tiles(view))}
  UNION ALL
  SELECT `_beat` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM {quote(beats(view.source, view.tile_ms))}
)
SELECT
  {text(view.name)} AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM {tumble("signs", "_at", view.tile_ms)}
GROUP BY `window_start`, `window_end`"""


def late_query(source: SourcePlan, views: Iterable[ViewPlan], archived: Mapping[int, int]) -> str:
    """The events that one or more views do not count, as `letters_table` takes them; without those up to the offsets `archived`."""
    behind = {view.name: is_late(view.tile_ms) for view in views}
    names = ", ".join(f"CASE WHEN {late} THEN {text(name)} END" for name, late in behind.items())
    reason = "'late: tile ended at or before the watermark'"
    headers = {"reason": reason, "views": f"CONCAT_WS(',', {names})", "watermark_ms": "CAST(`_watermark_ms` AS STRING)"}
    condition = "\n  OR ".join(dict.fromkeys(behind.values()))
    return f"""{_letter(headers)}
FROM {quote(checked(source))}
WHERE `_kind` = {OK}{_behind(archived)} AND (
  {condition}
)"""


def dead_letter_query(source: SourcePlan, archived: Mapping[int, int]) -> str:
    """The messages that the gate refused, as `letters_table` takes them; without those up to the offsets `archived`."""
    return f"""{_letter({"reason": "`_reason`"})}
FROM {quote(checked(source))}
WHERE `_kind` = {BAD}{_behind(archived)}"""


def archive_query(source: SourcePlan, archived: Mapping[int, int]) -> str:
    """Every event with its arrival, as `archive_table` takes it; without those up to the offsets `archived`."""
    fields = "".join(f"  {quote(name)},\n" for name in source.columns)
    return f"""SELECT
{fields}  `_watermark_ms`,
  `_arrived_ms` AS `_arrived`,
  `_partition`,
  `_offset`,
  DATE_FORMAT({quote(source.event_time)}, 'yyyy-MM-dd') AS `day`
FROM {quote(checked(source))}
WHERE `_kind` = {OK}{_behind(archived)}"""


def tile_sink_query(view: ViewPlan) -> str:
    """`tiles` as `tiles_table` takes them: with the entity key and, as the record's time, the tile's end."""
    key = " || '|' || ".join(_as_text(column) for column in view.keys)
    columns = "".join(f"  {quote(name)},\n" for name in tile_relation_columns(view) if name != "_closed")
    return f"""SELECT
{columns}  {key} AS `_key`,
  {_record_time(f"`tile_start` + {interval(view.tile_ms)}")} AS `_time`
FROM {quote(tiles(view))}"""


def closing_sink_query(view: ViewPlan) -> str:
    """`closing_query` as `closings_table` takes it."""
    return f"SELECT `view`, `tile_end`, `tiles`, `view` AS `_key`, {_record_time('`tile_end`')} AS `_time` FROM (\n{indent(closing_query(view))}\n)"


def letters_table(name: str, *, options: Mapping[str, str]) -> str:
    """A sink of untouched messages with headers that say why and from where."""
    return f"""CREATE TABLE {quote(name)} (
  `_key` BYTES,
  `_body` BYTES,
  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers',
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
{with_options(options)}
)"""


def archive_table(name: str, source: SourcePlan, *, options: Mapping[str, str]) -> str:
    """A sink of Parquet files, a folder for each day of event time in UTC."""
    fields = "".join(f"  {quote(column)} {type_.flink},\n" for column, type_ in source.columns.items())
    return f"""CREATE TABLE {quote(name)} (
{fields}  `_watermark_ms` BIGINT,
  `_arrived` BIGINT,
  `_partition` INT,
  `_offset` BIGINT,
  `day` STRING
) PARTITIONED BY (`day`) WITH (
{with_options(options)}
)"""


def tiles_table(name: str, view: ViewPlan, *, options: Mapping[str, str]) -> str:
    """A sink of a view's tiles; keys, start and revision are never null."""
    keys = "".join(f"  {quote(key.name)} {key.type.flink} NOT NULL,\n" for key in view.keys)
    columns = "".join(f"  {quote(column.name)} {column.type.flink},\n" for column in view.tile_columns)
    return f"""CREATE TABLE {quote(name)} (
{keys}  `tile_start` TIMESTAMP_LTZ(3) NOT NULL,
  `revision` BIGINT NOT NULL,
{columns}  `_key` STRING NOT NULL,
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
{with_options(options)}
)"""


def closings_table(name: str, *, options: Mapping[str, str]) -> str:
    """A sink of closings, as schema `closing`."""
    return f"""CREATE TABLE {quote(name)} (
  `view` STRING NOT NULL,
  `tile_end` TIMESTAMP_LTZ(3) NOT NULL,
  `tiles` BIGINT NOT NULL,
  `_key` STRING NOT NULL,
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
{with_options(options)}
)"""


def with_options(options: Mapping[str, str]) -> str:
    """The options of a table, a line each."""
    return ",\n".join(f"  {text(name)} = {text(value)}" for name, value in options.items())


def tumble(relation: str, time: str, tile_ms: int) -> str:
    """A relation cut into tiles by one of its times."""
    return f"TABLE(TUMBLE(TABLE {quote(relation)}, DESCRIPTOR({quote(time)}), {interval(tile_ms)}))"


def select(columns: Sequence[str], source: str, *rest: str) -> str:
    """A SELECT, a column each line."""
    listed = ",\n".join(f"  {column}" for column in columns)
    return "\n".join([f"SELECT\n{listed}", f"FROM {source}", *rest])


def indent(lines: str) -> str:
    """The lines, one step in."""
    return "\n".join(f"  {line}" for line in lines.split("\n"))


def _running(aggregate: str, partition: str = "") -> str:
    """An aggregate of all rows so far; without a partition they are brought into one order, by one subtask."""
    return f"{aggregate} OVER ({partition}ORDER BY `_seen` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"


def _milliseconds(timestamp: str) -> str:
    """A timestamp from 1970 on as BIGINT ms; Flink has no cast for it."""
    return f"(EXTRACT(EPOCH FROM {timestamp}) * 1000 + EXTRACT(MILLISECOND FROM {timestamp}))"


def _floor(milliseconds: str, unit_ms: int) -> str:
    """Down to a multiple, before 1970 too: MOD has the sign of its dividend."""
    return f"({milliseconds} - MOD(MOD({milliseconds}, {unit_ms}) + {unit_ms}, {unit_ms}))"


def _decoded(name: str, type_: DataType) -> str:
    field = f"`_gate`.{quote(name)}"
    return f"TO_TIMESTAMP_LTZ({field}, 3)" if type_ is DataType.TIMESTAMP else field


def _record_time(timestamp: str) -> str:
    """As a Kafka record's timestamp, which cannot be before 1970."""
    return f"GREATEST({timestamp}, TO_TIMESTAMP_LTZ(0, 3))"


def _as_text(column: Column) -> str:
    match column.type:
        case DataType.STRING:
            return quote(column.name)
        case _:
            return f"CAST({quote(column.name)} AS STRING)"


def _behind(archived: Mapping[int, int]) -> str:
    """A condition more: that a message lies behind the offset that its partition is archived to."""
    cases = "".join(f" WHEN {partition} THEN `_offset` > {offset}" for partition, offset in sorted(archived.items()))
    return f" AND CASE `_partition`{cases} ELSE TRUE END" if cases else ""


def _letter(headers: Mapping[str, str]) -> str:
    """A message as it was, with its own headers and ours."""
    place = {"source_topic": "`_topic`", "source_partition": "CAST(`_partition` AS STRING)", "source_offset": "CAST(`_offset` AS STRING)"}
    pairs = ",\n    ".join(f"{text(name)}, CAST(COALESCE({value}, '') AS BYTES)" for name, value in (dict(headers) | place).items())
    return f"""SELECT
  `_key`,
  `_body`,
  MAP_UNION(COALESCE(`_headers`, MAP['reason', CAST('' AS BYTES)]), MAP[
    {pairs}
  ]) AS `_headers`,
  {_record_time("TO_TIMESTAMP_LTZ(`_arrived_ms`, 3)")} AS `_time`"""
