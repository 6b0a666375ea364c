"""Plan → Flink SQL: the queries of `jobs/features`, as text. Nothing of Flink is imported.

`raw_<source>`, `heartbeats_<source>` → `messages_<source>` → gate → `checked_<source>` (all of `flink_gate`) → on time, once → `events_<source>_<tile>` → `tiles_<view>` → closings.
Every relation named here is made a stream of its own by the job, so that nothing is decided or computed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from features.columns.column import Column
from features.compiler import flink_letters
from features.compiler.flink_gate import BAD, OK, Reading, checked
from features.compiler.flink_letters import REASON
from features.compiler.flink_text import floor, interval, text, tumble, with_options
from features.plan import WRITTEN, SourcePlan, ViewPlan
from features.sql_text import indent, quote
from features.watermarks import NONE
from schemas.types import DataType

FOLDERS = {WRITTEN: ("STRING", "DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd')")}
"""The columns by which the archive is laid in folders, name → (Flink type, expression): of the clock, never of what an event tells.

Flink keeps a writer open for each folder until the next checkpoint: by days of event time, a replay of ten years would have 3,650 of them.
"""


def events(source: SourcePlan, tile_ms: int) -> str:
    """The relation of the events that count in tiles of one size."""
    return f"events_{source.name}_{tile_ms}"


def progress(source: SourcePlan, tile_ms: int) -> str:
    """The relation of the newest tile that the watermark of each row of `checked` closes."""
    return f"progress_{source.name}_{tile_ms}"


def tiles(view: ViewPlan) -> str:
    """The relation of a view's finished tiles."""
    return f"tiles_{view.name}"


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


def progress_query(source: SourcePlan, tile_ms: int, *, after_ms: int = NONE) -> str:
    """The relation `progress` from `checked`: `_progress`, the last millisecond of a tile; of tiles that ended before `after_ms` none."""
    progress = f"{floor('(`_stream_ms` + 1)', tile_ms)} - 1"
    told = "`_stream_ms` IS NOT NULL" if after_ms == NONE else f"{progress} > {after_ms}"
    return f"SELECT TO_TIMESTAMP_LTZ({progress}, 3) AS `_progress` FROM {quote(checked(source))} WHERE {told}"


def is_late(tile_ms: int) -> str:
    """Whether an event of `checked` is behind the watermark for tiles of one size: its tile's last millisecond has passed."""
    return f"COALESCE({floor('`_time_ms`', tile_ms)} + {tile_ms - 1} <= `_watermark_ms`, FALSE)"


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

    Its own tiles count one each; the progress of every row of `checked`, zero each, closes intervals without tiles.
    """
    return f"""WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM {quote(tiles(view))}
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM {quote(progress(view.source, view.tile_ms))}
)
SELECT
  {text(view.name)} AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM {tumble("signs", "_at", view.tile_ms)}
GROUP BY `window_start`, `window_end`"""


def late_query(source: SourcePlan, reading: Reading, views: Iterable[ViewPlan], archived: Mapping[int, int]) -> str:
    """The events that one or more views do not count, as `letters_table` takes them; without those up to the offsets `archived`."""
    behind = {view.name: is_late(view.tile_ms) for view in views}
    names = ", ".join(f"CASE WHEN {late} THEN {text(name)} END" for name, late in behind.items())
    reason = "'late: tile ended at or before the watermark'"
    told = {REASON: reason, "views": f"CONCAT_WS(',', {names})", "watermark_ms": "CAST(`_watermark_ms` AS STRING)"}
    condition = "\n  OR ".join(dict.fromkeys(behind.values()))
    return f"""{_letter(reading.letter, told)}
FROM {quote(checked(source))}
WHERE `_kind` = {OK}{_behind(archived)} AND (
  {condition}
)"""


def dead_letter_query(source: SourcePlan, reading: Reading, archived: Mapping[int, int]) -> str:
    """The messages that were refused, as `letters_table` takes them; without those up to the offsets `archived`."""
    return f"""{_letter(reading.refused, {REASON: "`_reason`"})}
FROM {quote(checked(source))}
WHERE `_kind` = {BAD}{_behind(archived)}"""


def archive_query(source: SourcePlan, archived: Mapping[int, int]) -> str:
    """Every event with its arrival, as `archive_table` takes it; without those up to the offsets `archived`."""
    fields = "".join(f"  {quote(name)},\n" for name in source.columns)
    folders = "".join(f",\n  {expression} AS {quote(name)}" for name, (_, expression) in FOLDERS.items())
    return f"""SELECT
{fields}  `_watermark_ms`,
  `_arrived_ms` AS `_arrived`,
  `_partition`,
  `_offset`{folders}
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


def letters_table(name: str, value: Mapping[str, tuple[str, str]], *, options: Mapping[str, str]) -> str:
    """A sink of messages as they were, with headers that say why and from where; `value` as of a `Reading`."""
    columns = "".join(f"  {quote(column)} {type_},\n" for column, (type_, _) in value.items())
    return f"""CREATE TABLE {quote(name)} (
  `_key` BYTES,
{columns}  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers',
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
{with_options(options)}
)"""


def archive_table(name: str, source: SourcePlan, *, options: Mapping[str, str]) -> str:
    """A sink of Parquet files, in `FOLDERS`: as few are open at a time, and as few are made, whatever times events have."""
    fields = "".join(f"  {quote(column)} {type_.flink},\n" for column, type_ in source.columns.items())
    folders = "".join(f",\n  {quote(name)} {type_}" for name, (type_, _) in FOLDERS.items())
    return f"""CREATE TABLE {quote(name)} (
{fields}  `_watermark_ms` BIGINT,
  `_arrived` BIGINT,
  `_partition` INT,
  `_offset` BIGINT{folders}
) PARTITIONED BY ({", ".join(map(quote, FOLDERS))}) WITH (
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


def _letter(value: Mapping[str, tuple[str, str]], told: Mapping[str, str]) -> str:
    """A message as it was, with its own headers and ours."""
    columns = "".join(f"  {expression} AS {quote(name)},\n" for name, (_, expression) in value.items())
    return f"""SELECT
  `_key`,
{columns}  {flink_letters.headers(told)} AS `_headers`,
  {_record_time("TO_TIMESTAMP_LTZ(`_arrived_ms`, 3)")} AS `_time`"""
