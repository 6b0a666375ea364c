"""How often each value occurs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.values import Int64s
from features.partials.finish import Finish, Finished
from features.partials.map_partial import MapPartial
from features.partials.map_text import escaped, escaped_sql, texts_of, value_text
from features.sql_text import Dialect


class TallyPartial(MapPartial):
    """Value as text → count. Counts are added."""

    kind = "tally"

    def source_sql(self, dialect: Dialect) -> str:
        """The value as text, escaped: the sub-key."""
        return escaped_sql(value_text(self.given.type, self.given.sql(dialect)), dialect)

    def sub_key_sql(self, source: str, dialect: Dialect) -> str:
        """As it comes."""
        return source

    def entries(self, values: pa.Array[Any], time_ms: Int64s) -> Sequence[str]:
        """Once."""
        return [f"1 {text}" for text in escaped(pa.array(texts_of(values), pa.string())).to_pylist()]


def _top(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (counts,) = merged
    found: pa.Array[Any] = counts.by_number.nth(int(feature.argument or 1))
    return found


def _count_of(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (of,) = merged
    counts = np.zeros(of.rows, dtype=np.int64)
    wanted: Any = pc.index(of.keys, pa.scalar(str(feature.argument), pa.string()))
    if (key := wanted.as_py()) >= 0:
        mine = of.key == key
        counts[of.row[mine]] = of.number[mine]
    return pa.array(counts)


TOP = Finish("top", _top)
"""The value of a rank, from 1, by count, then by value; null where there are fewer. Argument: the rank."""

CATEGORY = Finish("category", _count_of)
"""The count of one value. Argument: the value as text."""
