"""Runs a view's tile query in Flink, as a batch, in a process of its own: `python -m tests.features.vocabulary.flink_tiles EVENTS.jsonl OUT.parquet`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.columns.column import TILE_START
from features.compiler import flink
from features.compiler.flink_tiles import tile_query
from features.plan import ViewPlan
from schemas.types import DataType
from tests.features.vocabulary.every_aggregation import every

NUMBERS_AND_TEXT = ("x", "word")
"""Every aggregation takes one of them; planning more takes Flink minutes."""


def run(view: ViewPlan, events: Path) -> pa.Table:
    """The tiles of events that are kept as JSON lines, times as ms."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    own = dict.fromkeys(("web.tmpdir", "io.tmp.dirs"), str(events.parent))
    for name, value in {"table.local-time-zone": "UTC", "parallelism.default": "1", **own}.items():
        environment.get_config().set(name, value)
    columns = view.source.columns
    stored = ", ".join(f"`{name}` {'BIGINT' if type_ is DataType.TIMESTAMP else type_.flink}" for name, type_ in columns.items())
    environment.execute_sql(f"CREATE TABLE `stored` ({stored}) WITH ('connector' = 'filesystem', 'path' = '{events}', 'format' = 'json')")
    read = [f"TO_TIMESTAMP_LTZ(`{name}`, 3) AS `{name}`" if type_ is DataType.TIMESTAMP else f"`{name}`" for name, type_ in columns.items()]
    time = f"`{view.source.event_time}`"
    environment.execute_sql(
        f"CREATE VIEW `{flink.events(view.source, view.tile_ms)}` AS "
        f"SELECT {', '.join(read)}, {time} AS `_time_ms`, TO_TIMESTAMP_LTZ({time}, 3) AS `_time` FROM `stored`"
    )
    # Times as ms: what PyFlink makes of them as Python values depends on the zone of this machine.
    times = {TILE_START, *(column.name for column in view.tile_columns if column.type is DataType.TIMESTAMP)}
    named = [*view.keys, *view.tile_columns]
    shown = [
        f"`{name}`" if name not in times else f"CAST({_ms(name)} AS BIGINT) AS `{name}`" for name in (TILE_START, *(c.name for c in named))
    ]
    with environment.execute_sql(f"SELECT {', '.join(shown)} FROM ({tile_query(view)})").collect() as result:
        rows: list[Any] = [list(row) for row in result]
    types = [pa.int64(), *(pa.int64() if column.name in times else column.type.arrow for column in named)]
    names = [TILE_START, *(column.name for column in named)]
    return pa.table([pa.array([row[place] for row in rows], type_) for place, type_ in enumerate(types)], names=names)


def _ms(name: str) -> str:
    return f"EXTRACT(EPOCH FROM `{name}`) * 1000 + EXTRACT(MILLISECOND FROM `{name}`)"


if __name__ == "__main__":
    pq.write_table(run(every(NUMBERS_AND_TEXT), Path(sys.argv[1])), sys.argv[2])
