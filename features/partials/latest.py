"""The last values by event time, then by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Bools, Int64s, Values
from features.partials.finish import Finish, Finished
from features.partials.map_partial import MapPartial
from features.partials.map_text import escaped, escaped_sql, texts_of, value_text
from features.partials.merged_map import Merged
from features.sql_text import Dialect, nested, select
from schemas.types import DataType

_PATTERNS = {
    DataType.INT64: r"-?\d{1,19}",
    DataType.FLOAT64: r"-?\d+(\.\d+)?([eE][-+]?\d+)?|-?Infinity|NaN",
    DataType.BOOLEAN: "true|false",
}


class LatestPartial(MapPartial):
    """Value as text → event time in ms, a multimap. Of all entries the last `parameter` are kept, so they are few by themselves."""

    kind = "latest"
    operation = None

    def sub_key_sql(self, source: str, dialect: Dialect) -> str:
        """The value as text."""
        return escaped_sql(value_text(self.given.type, source), dialect)

    @property
    def sub_key_pattern(self) -> str:
        """A value of the input's type."""
        return _PATTERNS.get(self.given.type, super().sub_key_pattern)

    def entries(self, values: pa.Array[Any], time_ms: Int64s) -> Sequence[str]:
        """Its time and value."""
        texts = escaped(pa.array(texts_of(values), pa.string())).to_pylist()
        return [f"{time} {text}" for time, text in zip(time_ms.tolist(), texts, strict=True)]

    def flink_relation(self, value: str, tie: str | None, *, place: Sequence[str], events: str) -> str | None:
        """The events of the first ranks."""
        rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY `_time_ms` DESC, {value} DESC) AS `_rank`"
        ranked = select(["*", rank], events, f"WHERE {value} IS NOT NULL")
        entry = f"CAST(`_time_ms` AS STRING) || ' ' || {self.sub_key_sql(value, 'flink')}"
        return self.flink_texts(select([*place, f"{entry} AS `_entry`"], nested(ranked), f"WHERE `_rank` <= {self.parameter}"), place)

    def spark_relation(self, *, place: Sequence[str], events: str) -> str | None:
        """As in Flink."""
        source = select([*place, "`#ms`", f"{self.event_sql('spark')} AS `#in`"], events)
        rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY `#ms` DESC, `#in` DESC) AS `#rank`"
        ranked = f"SELECT *, {rank}\nFROM {nested(source)}\nWHERE `#in` IS NOT NULL"
        own = [f"{self.sub_key_sql('`#in`', 'spark')} AS `#sub_key`", "`#ms` AS `#number`"]
        return self.spark_texts(select([*place, *own], nested(ranked), f"WHERE `#rank` <= {self.parameter}"), place)

    def bounds(self, merged: Merged) -> Bools:
        """The last n values are few by themselves."""
        return np.zeros(merged.rows, dtype=np.bool_)

    def condensed(self, merged: Merged) -> Merged:
        """The last n of each row's entries."""
        _, order = _by_time(merged, self.given.type)
        place = np.arange(len(order)) - merged.begin[merged.row]
        order = order[place < (self.parameter or 1)]
        return Merged(rows=merged.rows, row=merged.row[order], key=merged.key[order], number=merged.number[order], keys=merged.keys)

    def arranged(self, merged: Merged) -> Merged:
        """Each row's entries by time, then value, the last and largest first; `keys` are values."""
        values, order = _by_time(merged, self.given.type)
        return Merged(rows=merged.rows, row=merged.row, key=merged.key[order], number=merged.number[order], keys=values)


def _by_time(merged: Merged, type_: DataType) -> tuple[pa.Array[Any], Int64s]:
    """The values that the sub-keys are texts of, and the entries' order: rows, then time and value, the last and largest first."""
    texts: list[Any] = merged.keys.to_pylist()
    values = merged.keys
    rank = np.arange(len(texts))
    if type_ in (DataType.INT64, DataType.FLOAT64):
        read = int if type_ is DataType.INT64 else float
        numbers = np.array([read(text) for text in texts], dtype=np.int64 if type_ is DataType.INT64 else np.float64)
        values, rank = Values(numbers=numbers).arrow(type_), np.unique(numbers, return_inverse=True)[1]
    elif type_ is DataType.BOOLEAN:
        values = pa.array([text == "true" for text in texts], type=pa.bool_())
    return values, np.lexsort((-rank[merged.key], -merged.number, merged.row))


def _nth(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (of,) = merged
    found: pa.Array[Any] = of.nth(int(feature.argument or 1))
    return found


LATEST = Finish("latest", _nth)
"""One of the last values; null where there are fewer. Argument: which, 1 is the last."""
