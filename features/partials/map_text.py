r"""Maps of sub-key → int64 as text, so that they pass through every engine, topic and store as any other string does: SQL, reading, writing.

The text is `<number> <sub-key>` for each entry with commas between, in any order; in sub-keys a backslash is `\s` and a comma `\c`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.values import Bools, Int64s, ranked
from features.sql_text import Dialect
from schemas.types import DataType

TOO_LARGE = "!"
"""In place of the entries where they would be more than `MOST_CHARACTERS`: what needs them is null, rather than the record too large for Kafka."""
MOST_CHARACTERS = 100_000

_NUMBER = r"-?\d{1,18}"


@dataclass(frozen=True, kw_only=True)
class Entries:
    """The entries of many texts, one after the other.

    Attributes:
        offsets: int64[texts + 1], where each text's entries begin.
        refused: Which text is `TOO_LARGE`, and so has no entries here; −1 for none.
        key: int64[entries], the rank of the sub-key among `keys`.
        number: int64[entries].
        keys: The distinct sub-keys, sorted by UTF-8 bytes.
    """

    offsets: Int64s
    refused: int
    key: Int64s
    number: Int64s
    keys: pa.Array[Any]

    @classmethod
    def of(cls, texts: pa.Array[Any]) -> Entries:
        """Read distinct texts, none of them null."""
        found: Any = pc.index(texts, pa.scalar(TOO_LARGE, pa.string()))
        refused: int = found.as_py()
        kept = texts if refused < 0 else pa.concat_arrays([texts[:refused], texts[refused + 1 :]])
        lists: Any = pc.split_pattern(kept, ",")
        offsets = lists.offsets.to_numpy().astype(np.int64)
        if refused >= 0:
            offsets = np.insert(offsets, refused, offsets[refused])
        parts: Any = pc.split_pattern(lists.flatten(), " ", max_splits=1)
        halves = parts.flatten()
        number = halves.take(pa.array(np.arange(0, len(halves), 2))).cast(pa.int64()).to_numpy(zero_copy_only=False)
        sub_keys = halves.take(pa.array(np.arange(1, len(halves), 2)))
        for escaped, character in (("\\c", ","), ("\\s", "\\")):
            sub_keys = pc.replace_substring(sub_keys, escaped, character)
        key = ranked(sub_keys, None)
        assert key.words is not None
        return cls(offsets=offsets - offsets[0], refused=refused, key=key.numbers, number=number, keys=key.words)


def escaped(keys: pa.Array[Any]) -> Any:
    """Sub-keys as they stand in a text."""
    found: Any = keys
    for character, escape in (("\\", "\\s"), (",", "\\c")):
        found = pc.replace_substring(found, character, escape)
    return found


def canonical(text: str | None) -> str | None:
    """The entries in the order of their sub-keys' bytes, then numbers, so that equal maps are equal bytes in the store."""
    if text is None or "," not in text:
        return text
    pairs = (entry.split(" ", 1) for entry in text.split(","))
    return ",".join(f"{number} {key}" for key, number in sorted(((key, int(number)) for number, key in pairs), key=_order))


def _order(entry: tuple[str, int]) -> tuple[bytes, int]:
    return entry[0].encode(), entry[1]


def well_formed(texts: pa.Array[Any], sub_key: str) -> Bools:
    """Which texts can be read as entries whose sub-keys match a regular expression; null can."""
    entry = f"{_NUMBER} ({sub_key})"
    good: Any = pc.match_substring_regex(texts, rf"\A({TOO_LARGE}|{entry}(,{entry})*)\z")
    return np.asarray(pc.fill_null(good, True), dtype=np.bool_)


def value_text(type_: DataType, value: str) -> str:
    """SQL of a value as text; of doubles it is Java's shortest that reads back as the same, in both engines."""
    match type_:
        case DataType.STRING:
            return value
        case DataType.BOOLEAN:
            return f"CASE WHEN ({value}) IS TRUE THEN 'true' WHEN ({value}) IS FALSE THEN 'false' END"
        case _:
            return f"CAST({value} AS STRING)"


def texts_of(values: pa.Array[Any]) -> list[str]:
    """Values as text, as `value_text`; of doubles Python's shortest, which reads back as the same too."""
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values.to_pylist()]


def escaped_sql(text: str, dialect: Dialect) -> str:
    """SQL of a sub-key as it stands in a text."""
    backslash, escape = ("'\\'", "'\\") if dialect == "flink" else ("'\\\\'", "'\\\\")
    return f"REPLACE(REPLACE({text}, {backslash}, {escape}s'), ',', {escape}c')"


def bounded(entries: str, characters: str) -> str:
    """SQL of the aggregate of all entries, or the sign that they are too many."""
    return f"CASE WHEN {characters} <= {MOST_CHARACTERS} THEN {entries} ELSE '{TOO_LARGE}' END"
