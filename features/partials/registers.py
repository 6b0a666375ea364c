"""HyperLogLog's registers: how many distinct values there are, about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Int64s
from features.partials.finish import Finish, Finished
from features.partials.hyperloglog import REGISTERS, estimate
from features.partials.map_partial import MapPartial
from features.partials.map_text import texts_of, value_text
from features.sql_text import Dialect

_REGISTER_DIGITS = 3
"""Hexadecimal digits of the hash that choose a register: 2^12 of them."""
_RANK_DIGITS = 13
"""Those that follow, up to the 64th bit: their leading zeros and 1 are the rank."""


class RegistersPartial(MapPartial):
    """Register, three hexadecimal digits → largest rank. Of ranks the largest stays.

    The hash is the first 64 bits of MD5 of the value's text.
    """

    kind = "registers"
    operation = np.maximum

    def source_sql(self, dialect: Dialect) -> str:
        """The hash."""
        return f"MD5({value_text(self.given.type, self.given.sql(dialect))})"

    def sub_key_sql(self, source: str, dialect: Dialect) -> str:
        """The register."""
        return f"SUBSTRING({source}, 1, {_REGISTER_DIGITS})"

    def number_sql(self, source: str, dialect: Dialect) -> str:
        """The largest rank."""
        rest = f"SUBSTRING({source}, {_REGISTER_DIGITS + 1}, {_RANK_DIGITS})"
        left = f"TRIM(LEADING '0' FROM {rest})"
        length = "CHAR_LENGTH" if dialect == "flink" else "LENGTH"
        zeros = f"CASE WHEN {left} >= '8' THEN 1 WHEN {left} >= '4' THEN 2 WHEN {left} >= '2' THEN 3 WHEN {left} >= '1' THEN 4 ELSE 1 END"
        return f"MAX({4 * _RANK_DIGITS} - 4 * {length}({left}) + {zeros})"

    @property
    def sub_key_pattern(self) -> str:
        """A register."""
        return "[0-9a-f]{3}"

    def entries(self, values: pa.Array[Any], time_ms: Int64s) -> Sequence[str]:
        """Its register and rank."""
        found = []
        for text in texts_of(values):
            digits = hashlib.md5(text.encode()).hexdigest()
            rest = int(digits[_REGISTER_DIGITS : _REGISTER_DIGITS + _RANK_DIGITS], 16)
            found.append(f"{4 * _RANK_DIGITS - rest.bit_length() + 1} {digits[:_REGISTER_DIGITS]}")
        return found


def _distinct(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (of,) = merged
    width = int(of.number.max(initial=0)) + 1
    histogram = np.bincount(of.row * width + of.number, minlength=of.rows * width).reshape(of.rows, width)
    histogram[:, 0] = REGISTERS - histogram.sum(axis=1)
    return pa.array(estimate(histogram))


DISTINCT = Finish("distinct", _distinct)
"""The estimate of each row from the registers that are set."""
