"""DDSketch's buckets: values counted by size, so that a quantile is known to a relative accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns.values import Bools, Int64s
from features.expressions.expression import Expression
from features.partials.finish import Finish, Finished
from features.partials.map_partial import MapPartial
from features.partials.merged_map import Merged
from features.sql_text import Dialect

_SMALLEST_NORMAL = 2.0**-1022


class BucketsPartial(MapPartial):
    """Bucket → how many values are in it. Counts are added. The parameter is how many buckets each octave has, a power of two.

    A bucket is `p<i>`, `n<i>` or `z`: with 2^e ≤ |x| < 2^(e + 1), i = e · n + floor((|x| / 2^e − 1) · n) for n buckets in each octave.
    """

    kind = "buckets"

    @classmethod
    def read(cls, value: Expression) -> Expression:
        """As a double."""
        return value.as_double()

    @property
    def per_octave(self) -> int:
        """Buckets in each octave."""
        assert self.parameter is not None
        return self.parameter

    def sub_key_sql(self, source: str, dialect: Dialect) -> str:
        """The bucket.

        All of it is exact, since n and 2^e are powers of two, but for the logarithm that finds e, whose last bit is each engine's own. Where
        that makes e one too small or too large, |x| is next to a power of two, and the formula gives the same i.
        """
        d = "" if dialect == "flink" else "D"
        size = f"ABS({source})"
        octave = f"LEAST(CAST(FLOOR(LOG2({size})) AS INT), 1023)"
        within = f"CAST(FLOOR(({size} / POWER(2E0{d}, {octave}) - 1E0{d}) * {self.per_octave}E0{d}) AS INT)"
        sign = f"CASE WHEN {source} > 0E0{d} THEN 'p' ELSE 'n' END"
        index = f"CAST({octave} * {self.per_octave} + {within} AS STRING)"
        return f"CASE WHEN {size} < 2.2250738585072014E-308{d} THEN 'z' ELSE {sign} || {index} END"

    @property
    def sub_key_pattern(self) -> str:
        """A bucket."""
        return r"z|[pn]-?\d{1,9}"

    def entries(self, values: pa.Array[Any], time_ms: Int64s) -> Sequence[str]:
        """Once in its bucket."""
        return [f"1 {self._bucket(value)}" for value in values.to_numpy(zero_copy_only=False).tolist()]

    def _bucket(self, value: float) -> str:
        if abs(value) < _SMALLEST_NORMAL:
            return "z"
        mantissa, exponent = math.frexp(abs(value))  # mantissa in [½, 1)
        within = math.floor((2 * mantissa - 1) * self.per_octave)
        return f"{'p' if value > 0 else 'n'}{(exponent - 1) * self.per_octave + within}"

    def arranged(self, merged: Merged) -> Merged:
        """`keys` are what stands for each bucket, entries in the order of its values."""
        lower, value = _representatives(merged.keys, self.per_octave)
        order = np.lexsort((lower[merged.key], merged.row))
        return Merged(rows=merged.rows, row=merged.row, key=merged.key[order], number=merged.number[order], keys=pa.array(value))


def _quantile(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    assert isinstance(feature.argument, float)
    (of,) = merged
    running = np.append(0, np.cumsum(of.number))
    begin = of.begin
    total = running[begin[1:]] - running[begin[:-1]]
    there: Bools = total > 0
    rank = np.floor(feature.argument * np.maximum(total - 1, 0)).astype(np.int64)
    position = np.searchsorted(running, running[begin[:-1]] + rank, side="right") - 1
    values = of.keys.to_numpy()[of.key]
    result = np.append(values, 0.0)[np.where(there, position, len(values))]
    return pa.array(result, type=pa.float64(), mask=~there)


QUANTILE = Finish("quantile", _quantile)
"""What stands for the bucket that holds the element of rank floor(q · (n − 1)); null of nothing. Argument: q."""


def _representatives(keys: pa.Array[Any], per_octave: int) -> tuple[Int64s, NDArray[np.float64]]:
    """Of each bucket a number that orders it as its values are, and the value that stands for them.

    A bucket `[l, h)` is represented by 2·l·h / (l + h): off by at most (h − l) / (h + l) ≤ 1 / (2n + 1), relative.
    """
    texts: list[Any] = keys.to_pylist()
    sign = np.array([{"p": 1, "n": -1}.get(text[0], 0) for text in texts], dtype=np.int64)
    index = np.array([int(text[1:] or 0) for text in texts], dtype=np.int64)
    octave, within = np.divmod(index, per_octave)
    low, high = 1 + within / per_octave, 1 + (within + 1) / per_octave
    middle = np.minimum(np.ldexp(low * high / (low + high), octave + 1), np.finfo(np.float64).max)
    return sign * (index + 2048 * per_octave), sign * middle
