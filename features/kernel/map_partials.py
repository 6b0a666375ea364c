r"""Partials that are maps, read and merged: the text of a tile's entries → numbers per row and sub-key → the values of features.

A tile's text is `<number> <sub-key>` for each entry with commas between, in any order; in sub-keys a backslash is `\s` and a comma `\c`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.compiler.map_partial_sql import MOST_CHARACTERS, TOO_LARGE
from features.kernel.hyperloglog import REGISTERS, estimate
from features.kernel.values import Bools, Int64s, Values, ranked
from features.plan import Finish, Partial, PartialKind, WindowFeature
from schemas.types import DataType

_NUMBER = r"-?\d{1,18}"
_SUB_KEYS = {PartialKind.REGISTERS: "[0-9a-f]{3}", PartialKind.BUCKETS: r"z|[pn]-?\d{1,9}"}
_VALUES = {DataType.INT64: r"-?\d{1,19}", DataType.FLOAT64: r"-?\d+(\.\d+)?([eE][-+]?\d+)?|-?Infinity|NaN", DataType.BOOLEAN: "true|false"}
_CHUNK_ENTRIES = 1 << 22  # merged at once: bounds memory, changes no value


def canonical(text: str | None) -> str | None:
    """The entries in the order of their sub-keys' bytes, then numbers, so that equal maps are equal bytes in the store."""
    if text is None or "," not in text:
        return text
    pairs = (entry.split(" ", 1) for entry in text.split(","))
    return ",".join(f"{number} {key}" for key, number in sorted(((key, int(number)) for number, key in pairs), key=_order))


def well_formed(partial: Partial, texts: pa.Array[Any]) -> Bools:
    """Which texts can be read as entries of a partial; null can."""
    values = _VALUES if partial.kind is PartialKind.LATEST else {}
    sub_key = _SUB_KEYS.get(partial.kind) or (partial.input and values.get(partial.input.type)) or "[^,]*"
    entry = f"{_NUMBER} ({sub_key})"
    good: Any = pc.match_substring_regex(texts, rf"\A({TOO_LARGE}|{entry}(,{entry})*)\z")
    return np.asarray(pc.fill_null(good, True), dtype=np.bool_)


def _order(entry: tuple[str, int]) -> tuple[bytes, int]:
    return entry[0].encode(), entry[1]


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


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The merged map of each row: one entry for each of its sub-keys, rows in order, sub-keys by `key`.

    Attributes:
        rows: How many there are.
        row, key, number: Of each entry, as in `Entries`.
        keys: As there.
    """

    rows: int
    row: Int64s
    key: Int64s
    number: Int64s
    keys: pa.Array[Any]

    @cached_property
    def begin(self) -> Int64s:
        """Where each row's entries begin; the last is where all end."""
        return np.searchsorted(self.row, np.arange(self.rows + 1))


def finish_maps(
    partial: Partial, features: Sequence[WindowFeature], values: Values, entries: Entries, *, rows: int, row: Int64s, tile: Int64s
) -> dict[str, pa.Array[Any]]:
    """Features of one map partial and window; null where a tile of the window says that its entries were too many.

    Of a window of all time, whose map nothing bounds, it is null also where the merged entries are too many.

    Args:
        partial: The partial.
        features: Of this partial and window.
        values: The tile column.
        entries: Of its `words`.
        rows: How many rows there are.
        row: int64[k], ascending: the row of each gathered tile.
        tile: int64[k], which tile that is.
    """
    gathered = _Gathered.of(partial, values, entries, rows=rows, row=row, tile=tile)
    unbounded = features[0].window_ms is None
    pieces, unknown = [], [gathered.unknown]
    for merged in gathered.pieces():
        pieces.append(_finished(merged, features))
        unknown.append(_too_many(partial, merged) if unbounded else np.zeros(merged.rows, dtype=np.bool_))
    found = {feature.name: pa.concat_arrays([piece[feature.name] for piece in pieces]) for feature in features}
    nothing = gathered.unknown | np.concatenate(unknown[1:])
    if not nothing.any():
        return found
    mask: Any = pa.array(nothing)
    return {name: pc.if_else(mask, pa.scalar(None, column.type), column) for name, column in found.items()}


def merge_maps(partial: Partial, values: Values, entries: Entries, *, rows: int, row: Int64s, tile: Int64s) -> pa.Array[Any]:
    """The merged map of each row as a tile would keep it: text, `TOO_LARGE` where entries are too many, null of nothing. Arguments as above."""
    gathered = _Gathered.of(partial, values, entries, rows=rows, row=row, tile=tile)
    parts = []
    for merged in gathered.pieces():
        kept = _newest(partial, merged) if partial.kind is PartialKind.LATEST else merged
        parts.append(_texts(kept, _too_many(partial, kept)))
    texts = pa.concat_arrays(parts)
    if not gathered.unknown.any():
        return texts
    unknown: Any = pa.array(gathered.unknown)
    marked: pa.Array[Any] = pc.if_else(unknown, pa.scalar(TOO_LARGE), texts)  # type: ignore[call-overload, unused-ignore]
    return marked


def _texts(merged: Merged, too_many: Bools) -> pa.Array[Any]:
    """Each row's entries as the text of a tile."""
    number: Any = pa.array(merged.number).cast(pa.string())
    begin: Any = pa.array(merged.begin.astype(np.int32))
    entry: Any = pc.binary_join_element_wise(number, _escaped(merged.keys).take(pa.array(merged.key)), " ")
    joined: Any = pc.binary_join(pa.ListArray.from_arrays(begin, entry), ",")
    large: Any = pa.array(too_many)
    none: Any = pa.array(np.diff(merged.begin) == 0)
    texts: pa.Array[Any] = pc.if_else(none, pa.scalar(None, pa.string()), pc.if_else(large, pa.scalar(TOO_LARGE), joined))
    return texts


@dataclass(frozen=True, kw_only=True)
class _Gathered:
    """The texts of all rows' tiles, not yet merged.

    Attributes:
        unknown: bool[rows], which have a tile whose entries were too many.
    """

    partial: Partial
    rows: int
    row: Int64s
    word: Int64s
    lengths: Int64s
    entries: Entries
    unknown: Bools

    @classmethod
    def of(cls, partial: Partial, values: Values, entries: Entries, *, rows: int, row: Int64s, tile: Int64s) -> _Gathered:
        if values.valid is not None:
            there = values.valid[tile]
            row, tile = row[there], tile[there]
        word = values.numbers[tile]
        unknown = np.zeros(rows, dtype=np.bool_)
        if entries.refused >= 0:
            there = word != entries.refused
            unknown[row[~there]] = True
            row, word = row[there], word[there]
        lengths = np.diff(entries.offsets)[word]
        return cls(partial=partial, rows=rows, row=row, word=word, lengths=lengths, entries=entries, unknown=unknown)

    def pieces(self) -> Iterator[Merged]:
        """Some rows after the others, one piece at least, so that memory is bounded."""
        done = np.zeros(self.rows + 1, dtype=np.int64)
        np.add.at(done, self.row + 1, self.lengths)
        ends, begin, first = np.cumsum(done), 0, True
        while begin < self.rows or first:
            end = min(self.rows, max(begin + 1, int(np.searchsorted(ends, ends[begin] + _CHUNK_ENTRIES, side="right")) - 1))
            low, high = np.searchsorted(self.row, (begin, end))
            own, word, lengths = self.row[low:high] - begin, self.word[low:high], self.lengths[low:high]
            yield _merge(self.partial, self.entries, rows=end - begin, row=own, word=word, lengths=lengths)
            begin, first = end, False


def _too_many(partial: Partial, merged: Merged) -> Bools:
    """Which rows' entries are more than a tile may keep, counted as its SQL does; the last n values are few by themselves."""
    if partial.kind is PartialKind.LATEST:
        return np.zeros(merged.rows, dtype=np.bool_)
    size: Any = pc.utf8_length(_escaped(merged.keys))
    number: Any = pa.array(merged.number).cast(pa.string())
    digits: Any = pc.utf8_length(number)
    characters = size.to_numpy(zero_copy_only=False)[merged.key] + digits.to_numpy(zero_copy_only=False) + 2
    counted = np.zeros(merged.rows, dtype=np.int64)
    np.add.at(counted, merged.row, characters)
    return np.asarray(counted > MOST_CHARACTERS, dtype=np.bool_)


def _escaped(keys: pa.Array[Any]) -> Any:
    found: Any = keys
    for character, escape in (("\\", "\\s"), (",", "\\c")):
        found = pc.replace_substring(found, character, escape)
    return found


def _merge(partial: Partial, entries: Entries, *, rows: int, row: Int64s, word: Int64s, lengths: Int64s) -> Merged:
    """One entry for each row and sub-key: counts are added, of ranks the largest stays; of latest every entry stays."""
    offsets = np.cumsum(lengths) - lengths
    position = np.repeat(entries.offsets[word] - offsets, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
    size = max(1, len(entries.keys))
    if partial.kind is PartialKind.LATEST:
        every = np.repeat(row, lengths)
        return Merged(rows=rows, row=every, key=entries.key[position], number=entries.number[position], keys=entries.keys)
    composite: Int64s = np.repeat(row, lengths) * size + entries.key[position]
    order = np.argsort(composite, kind="stable")
    composite, number = composite[order], entries.number[position][order]
    first = np.flatnonzero(np.diff(composite, prepend=-1))
    operation: np.ufunc = np.maximum if partial.kind is PartialKind.REGISTERS else np.add
    number = operation.reduceat(number, first) if len(first) else number
    return Merged(rows=rows, row=composite[first] // size, key=composite[first] % size, number=number, keys=entries.keys)


def _finished(merged: Merged, features: Sequence[WindowFeature]) -> dict[str, pa.Array[Any]]:
    found: dict[str, pa.Array[Any]] = {}
    by_count: Merged | None = None
    latest: Merged | None = None
    for feature in features:
        match feature.finish:
            case Finish.TOP:
                by_count = by_count or _by_count(merged)
                found[feature.name] = _nth(by_count, int(feature.argument or 1))
            case Finish.CATEGORY:
                found[feature.name] = _count_of(merged, str(feature.argument))
            case Finish.LATEST:
                latest = latest or _latest(merged, feature.type)
                found[feature.name] = _nth(latest, int(feature.argument or 1))
            case Finish.DISTINCT:
                found[feature.name] = _distinct(merged)
            case _:
                assert isinstance(feature.argument, float)
                (partial,) = feature.partials
                found[feature.name] = _quantile(merged, feature.argument, partial.parameter or 1)
    return found


def _by_count(merged: Merged) -> Merged:
    """Each row's entries by count, largest first, then by sub-key."""
    order = np.lexsort((merged.key, -merged.number, merged.row))
    return Merged(rows=merged.rows, row=merged.row, key=merged.key[order], number=merged.number[order], keys=merged.keys)


def _latest(merged: Merged, type_: DataType) -> Merged:
    """Each row's entries by time, then value, the last and largest first; `keys` are values."""
    values, order = _by_time(merged, type_)
    return Merged(rows=merged.rows, row=merged.row, key=merged.key[order], number=merged.number[order], keys=values)


def _newest(partial: Partial, merged: Merged) -> Merged:
    """The last n of each row's entries."""
    assert partial.input is not None
    _, order = _by_time(merged, partial.input.type)
    place = np.arange(len(order)) - merged.begin[merged.row]
    order = order[place < (partial.parameter or 1)]
    return Merged(rows=merged.rows, row=merged.row[order], key=merged.key[order], number=merged.number[order], keys=merged.keys)


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


def _nth(merged: Merged, rank: int) -> pa.Array[Any]:
    """The sub-key of each row's entry number `rank`, from 1; null where there are fewer."""
    begin = merged.begin
    position = begin[:-1] + rank - 1
    there: Bools = position < begin[1:]
    key = np.append(merged.key, 0)[np.where(there, position, len(merged.key))]
    chosen: Any = pa.array(key, type=pa.int64(), mask=~there)
    return merged.keys.take(chosen)


def _count_of(merged: Merged, value: str) -> pa.Array[Any]:
    """The count of one sub-key in each row."""
    counts = np.zeros(merged.rows, dtype=np.int64)
    wanted: Any = pc.index(merged.keys, pa.scalar(value, pa.string()))
    if (key := wanted.as_py()) >= 0:
        mine = merged.key == key
        counts[merged.row[mine]] = merged.number[mine]
    return pa.array(counts)


def _distinct(merged: Merged) -> pa.Array[Any]:
    """The estimate of each row from the registers that are set."""
    width = int(merged.number.max(initial=0)) + 1
    histogram = np.bincount(merged.row * width + merged.number, minlength=merged.rows * width).reshape(merged.rows, width)
    histogram[:, 0] = REGISTERS - histogram.sum(axis=1)
    return pa.array(estimate(histogram))


def _quantile(merged: Merged, q: float, per_octave: int) -> pa.Array[Any]:
    """The representative of the bucket that holds the element of rank floor(q · (n − 1)), in each row."""
    lower, value = _representatives(merged.keys, per_octave)
    order = np.lexsort((lower[merged.key], merged.row))
    running = np.append(0, np.cumsum(merged.number[order]))
    begin = merged.begin
    total = running[begin[1:]] - running[begin[:-1]]
    there: Bools = total > 0
    rank = np.floor(q * np.maximum(total - 1, 0)).astype(np.int64)
    position = np.searchsorted(running, running[begin[:-1]] + rank, side="right") - 1
    values = value[merged.key[order]]
    result = np.append(values, 0.0)[np.where(there, position, len(values))]
    return pa.array(result, type=pa.float64(), mask=~there)


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
