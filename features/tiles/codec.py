"""Tiles as bytes: how the online store packs all tiles of one entity into one value, and how they are read back in bulk.

A packed value is a header (i64 `kept_from`, i64 `newest_end`, 8 bytes `layout`) and records sorted by tile start, each as `features.columns.record` says,
where a string is u32 length + UTF-8; nulls occupy zeroes.
Of a view with `Lifetime` features the header is followed by u32 length and a block, which `features.tiles.base_block` writes: flags as
u8, i64 revision and, as one more record, the base: all tiles that start before `kept_from`, merged. Of a view with several levels it is followed
by u32 length and another block, which `features.tiles.level_block` writes: the tiles of the larger levels.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns.record import FORMATS, RECORD, bitmap_bytes, record_of
from features.columns.tile_table import Tiles
from features.columns.values import Bools, Int64s, Values
from features.plan import ViewPlan, describe_view
from features.tiles.level_block import NOTHING_MERGED, LevelBlock
from schemas.errors import DataError
from schemas.types import DataType

Packed = bytes | memoryview

NOTHING_DROPPED = -(1 << 63)
ALL_TIME = (-(1 << 63), (1 << 63) - 1)

_HEADER = np.dtype([("kept_from", "<i8"), ("newest_end", "<i8"), ("layout", "<u8")])
HEAD = struct.Struct("<qq8s")
LENGTH = struct.Struct("<I")
BLOCK = struct.Struct("<Bq")
"""Of a block, ahead of the base."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """Tiles of several packed values.

    Attributes:
        tiles: `owner` is the index of the packed value that a tile came from.
        kept_from_ms: int64[k], per packed value: tiles that start before were dropped; int64's minimum when none was.
        inexact: bool[k], per packed value: `Lifetime` features or tiles of larger levels lack tiles that were dropped, or have some that were
            corrected since.
        larger_from_ms: int64[levels − 1, k], as `kept_from_ms`, of the tiles of each larger level.
    """

    tiles: Tiles
    kept_from_ms: Int64s
    inexact: Bools
    larger_from_ms: Int64s


@dataclass(frozen=True, kw_only=True)
class Enveloped(Sequence[Packed | None]):
    """Packed values as a store hands them over, each behind some bytes of the store's own: read in place, cut out for whoever takes one.

    Attributes:
        values: None of an entity that has none.
        head: How many bytes are in front of each.
        longer: int64, ascending: one more for each of these sizes that a value, with what is in front of it, reaches.
    """

    values: Sequence[bytes | None]
    head: int
    longer: Int64s

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> Packed | None: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Packed | None]: ...
    def __getitem__(self, place: int | slice) -> Packed | Sequence[Packed | None] | None:
        if isinstance(place, slice):
            return replace(self, values=self.values[place])
        value = self.values[place]
        return None if value is None else memoryview(value)[self.head + int(np.searchsorted(self.longer, len(value), side="right")) :]


@dataclass(frozen=True, kw_only=True)
class TileCodec:
    """Packs and unpacks the tiles of one view."""

    view: ViewPlan

    @cached_property
    def layout(self) -> bytes:
        """8 bytes that change with anything that changes the content of a tile, so that no definition reads another's tiles."""
        ignored = ("features", "delay_ms", "entity")
        content = {name: value for name, value in describe_view(self.view).items() if name not in ignored}
        names = [column.name for column in self.view.tile_columns]
        if self.view.has_lifetime:
            content["lifetime"] = True
        if self.larger_levels:
            content["levels_ms"] = list(self.view.levels_ms)
        return hashlib.sha256(json.dumps([content, names], sort_keys=True).encode()).digest()[:8]

    @cached_property
    def record(self) -> np.dtype[Any] | None:
        """A record as a numpy structure; None where a string makes the width vary."""
        return record_of(self.view.tile_columns)

    @property
    def larger_levels(self) -> int:
        """How many levels there are beside the smallest."""
        return len(self.view.levels_ms) - 1

    @property
    def has_block(self) -> bool:
        """Whether packed values have a block: of a base, or of larger levels."""
        return self.view.has_lifetime or self.larger_levels > 0

    @cached_property
    def _bitmap_bytes(self) -> int:
        return bitmap_bytes(self.view.tile_columns)

    def pack(self, *, start_ms: Int64s, revision: Int64s, columns: Mapping[str, Values]) -> list[bytes]:
        """One record per tile, as the store keeps it."""
        ordered = [columns[column.name] for column in self.view.tile_columns]
        valid = np.ones((len(start_ms), 8 * self._bitmap_bytes), dtype=np.bool_)
        for number, values in enumerate(ordered):
            if values.valid is not None:
                valid[:, number] = values.valid
        nulls = np.packbits(~valid, axis=1, bitorder="little")
        if self.record is None:
            return self._pack_varying(start_ms, revision, ordered, nulls)
        width = self.record.itemsize
        records = np.zeros(len(start_ms), dtype=self.record)
        records["length"], records["start"], records["revision"], records["nulls"] = width - RECORD.size, start_ms, revision, nulls
        for number, values in enumerate(ordered):
            records[f"c{number}"] = values.filled(0)
        data = records.tobytes()
        return [data[offset : offset + width] for offset in range(0, len(data), width)]

    def value(self, records: Sequence[bytes], *, newest_end_ms: int, kept_from_ms: int = NOTHING_DROPPED) -> bytes:
        """A packed value of records that are sorted by tile start."""
        block = bytes(LENGTH.size) if self.has_block else b""
        return HEAD.pack(kept_from_ms, newest_end_ms, self.layout) + block + b"".join(records)

    def joined(self, packed: Packed | None, older: Packed | None) -> Packed | None:
        """A packed value and that of the tiles which have left it as one; without the older where they do not reach up to it, or have another layout."""
        if packed is None or older is None or len(packed) < HEAD.size or len(older) < HEAD.size:
            return packed
        kept_from, newest_end, layout = HEAD.unpack_from(packed)
        lost, reached, of_older = HEAD.unpack_from(older)
        if not layout == of_older == self.layout or reached < kept_from:
            return packed
        body = packed[HEAD.size :]
        if not self.has_block:
            return HEAD.pack(lost, newest_end, layout) + bytes(older[HEAD.size :]) + bytes(body)
        block, records = self.split(body)
        while len(records) and RECORD.unpack_from(first := self.first(records))[1] < kept_from:
            records = records[len(first) :]  # a stray: see `unpack`
        return b"".join([HEAD.pack(lost, newest_end, layout), LENGTH.pack(len(block)), block, self.split(older[HEAD.size :])[1], records])

    def unpack(self, packed: Sequence[Packed | None], *, since_ms: int = ALL_TIME[0], before_ms: int = ALL_TIME[1]) -> Unpacked:
        """Read packed values; `None` has no tiles.

        A value of another layout (the definition has changed since) has no tiles either, and says that it dropped them all.

        Args:
            packed: k packed values.
            since_ms: Tiles that start earlier are left out; a base is none of them.
            before_ms: Tiles that start at or after are left out.

        Raises:
            DataError: A value is damaged.
        """
        kept_from = np.full(len(packed), NOTHING_DROPPED, dtype=np.int64)
        owners = np.array([number for number, value in enumerate(packed) if value is not None], dtype=np.int64)
        values = [value for value in packed if value is not None]
        headers = np.frombuffer(
            b"".join([value[: _HEADER.itemsize] for value in values]).ljust(len(values) * _HEADER.itemsize), dtype=_HEADER
        )
        if any(len(value) < _HEADER.itemsize for value in values):
            raise self.damaged(f"one is less than its header of {_HEADER.itemsize} bytes")
        own = headers["layout"] == np.frombuffer(self.layout, dtype="<u8")
        kept_from[owners] = np.where(own, headers["kept_from"], np.maximum(headers["kept_from"], headers["newest_end"]))
        bodies = [value[_HEADER.itemsize :] for value, mine in zip(values, own.tolist(), strict=True) if mine]
        inexact = np.zeros(len(packed), dtype=np.bool_)
        larger_from = np.repeat(kept_from[np.newaxis], self.larger_levels, axis=0)
        if self.larger_levels:
            tiles = self._unpack_levels(owners[own], bodies, kept_from, larger_from, inexact)
            wanted = (tiles.start_ms >= np.maximum(kept_from, since_ms)[tiles.owner]) & (tiles.start_ms < before_ms)
            tiles = tiles.chosen(wanted | (tiles.level != 0))
            return Unpacked(tiles=tiles, kept_from_ms=kept_from, inexact=inexact, larger_from_ms=larger_from)
        if not self.view.has_lifetime:
            tiles = self.read(owners[own], bodies, since_ms, before_ms)
            return Unpacked(tiles=tiles, kept_from_ms=kept_from, inexact=inexact, larger_from_ms=larger_from)
        inexact[owners[~own]] = True
        blocks = [self.split(body) for body in bodies]
        lost = kept_from[owners[own]] != NOTHING_DROPPED
        inexact[owners[own]] = [bool(block[0]) if len(block) else dropped for (block, _), dropped in zip(blocks, lost, strict=True)]
        bases = [(owner, block[BLOCK.size :]) for owner, (block, _) in zip(owners[own].tolist(), blocks, strict=True) if len(block)]
        tiles = self.read_with_bases(owners[own], [records for _, records in blocks], bases)
        # Tiles that start before `kept_from` are strays: until a writer has merged them, nobody knows whether the base has them.
        assert tiles.base is not None
        wanted = (tiles.start_ms >= np.maximum(kept_from, since_ms)[tiles.owner]) & (tiles.start_ms < before_ms)
        tiles = tiles.chosen(tiles.base | wanted)
        return Unpacked(tiles=tiles, kept_from_ms=kept_from, inexact=inexact, larger_from_ms=larger_from)

    def _unpack_levels(self, owners: Int64s, bodies: Sequence[Packed], kept_from: Int64s, larger_from: Int64s, inexact: Bools) -> Tiles:
        """The tiles of all levels; notes from when each larger level is kept, and whether it is exact."""
        count = self.larger_levels + 1
        places: list[int] = []
        records: list[Packed] = []
        merged = np.full(len(kept_from), NOTHING_MERGED, dtype=np.int64)
        for owner, body in zip(owners.tolist(), bodies, strict=True):
            data, small = self.split(body)
            block = self.level_block(data, int(kept_from[owner]), ranges=False)
            merged[owner], inexact[owner] = block.merged_ms, block.outdated
            larger_from[:, owner] = [level.kept_from_ms for level in block.levels]
            places += range(owner * count, (owner + 1) * count)
            records += [small, *(level.records for level in block.levels)]
        tiles = self.read(np.array(places, dtype=np.int64), records)
        owner, level = np.divmod(tiles.owner, count)
        return Tiles(owner=owner, start_ms=tiles.start_ms, columns=tiles.columns, level=level, merged_ms=merged)

    def level_block(self, data: Packed, kept_from_ms: int, *, ranges: bool = True) -> LevelBlock:
        """Read a block of larger levels; see `LevelBlock.of`.

        Raises:
            DataError: It is damaged.
        """
        try:
            return LevelBlock.of(data, self.larger_levels, kept_from_ms, ranges=ranges)
        except ValueError as error:
            raise self.damaged(str(error)) from error

    def read(self, owners: Int64s, bodies: Sequence[Packed], since_ms: int = ALL_TIME[0], before_ms: int = ALL_TIME[1]) -> Tiles:
        """Read records, joined for each owner; arguments as of `unpack`."""
        return (self._unpack_varying if self.record is None else self._unpack_fixed)(owners, bodies, since_ms, before_ms)

    def read_with_bases(self, owners: Int64s, bodies: Sequence[Packed], bases: Sequence[tuple[int, Packed]]) -> Tiles:
        """As `read` of all time, and the bases of some owners; what follows the record of a base is passed over."""
        apart = int(owners.max(initial=0)) + max((owner for owner, _ in bases), default=0) + 1
        every = np.concatenate([owners, np.array([owner + apart for owner, _ in bases], dtype=np.int64)])
        tiles = self.read(every, [*bodies, *(self.first(block) for _, block in bases)])
        base = tiles.owner >= apart
        return Tiles(owner=np.where(base, tiles.owner - apart, tiles.owner), start_ms=tiles.start_ms, columns=tiles.columns, base=base)

    def records(self, value: Packed) -> Packed:
        """The records of a packed value of this layout."""
        body = value[HEAD.size :]
        return self.split(body)[1] if self.has_block else body

    def split(self, body: Packed) -> tuple[Packed, Packed]:
        """The block, and the records behind it."""
        if len(body) < LENGTH.size:
            raise self.damaged("the block is cut short")
        end = LENGTH.size + LENGTH.unpack_from(body)[0]
        if len(body) < end:
            raise self.damaged("the block is cut short")
        return body[LENGTH.size : end], body[end:]

    def first(self, records: Packed) -> Packed:
        """The first of several records."""
        if len(records) < RECORD.size:
            raise self.damaged("the base is cut short")
        end = RECORD.size + RECORD.unpack_from(records)[0]
        if len(records) < end:
            raise self.damaged("a record is cut short")
        return records[:end]

    def _unpack_fixed(self, owners: Int64s, bodies: Sequence[Packed], since_ms: int, before_ms: int) -> Tiles:
        assert self.record is not None
        width = self.record.itemsize
        sizes = np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
        if np.any(sizes % width):
            raise self.damaged(f"records are {width} bytes")
        records = np.frombuffer(b"".join(bodies), dtype=self.record)
        if np.any(records["length"] != width - RECORD.size):
            raise self.damaged(f"payloads are {width - RECORD.size} bytes")
        owner = np.repeat(owners, sizes // width)
        start = np.ascontiguousarray(records["start"])
        wanted = (start >= since_ms) & (start < before_ms)
        if not wanted.all():
            owner, start, records = owner[wanted], start[wanted], records[wanted]
        nulls = records["nulls"]
        some = np.bitwise_or.reduce(nulls, axis=0) if len(nulls) else np.zeros(self._bitmap_bytes, np.uint8)
        columns = {}
        for number, column in enumerate(self.view.tile_columns):
            byte, bit = number // 8, np.uint8(1 << number % 8)
            valid = (nulls[:, byte] & bit) == 0 if some[byte] & bit else None
            columns[column.name] = Values(numbers=np.ascontiguousarray(records[f"c{number}"]), valid=valid)
        return Tiles(owner=owner, start_ms=start, columns=columns)

    def _unpack_varying(self, owners: Int64s, bodies: Sequence[Packed], since_ms: int, before_ms: int) -> Tiles:
        owner, starts = [], []
        cells: list[list[Any]] = [[] for _ in self.view.tile_columns]
        for number, body in zip(owners.tolist(), bodies, strict=True):
            offset = 0
            while offset < len(body):
                try:
                    length, start, _ = RECORD.unpack_from(body, offset)
                    offset += RECORD.size + length
                    if since_ms <= start < before_ms:
                        self._read_payload(body[offset - length : offset], cells)
                        owner.append(number)
                        starts.append(start)
                except (struct.error, UnicodeDecodeError, IndexError) as error:
                    raise self.damaged(str(error)) from error
            if offset != len(body):
                raise self.damaged("the last record is cut short")
        columns = {}
        for column, cell in zip(self.view.tile_columns, cells, strict=True):
            type_ = pa.int64() if column.type is DataType.TIMESTAMP else column.type.arrow
            columns[column.name] = Values.of(pa.array(cell, type=type_), column.type)
        return Tiles(owner=np.array(owner, dtype=np.int64), start_ms=np.array(starts, dtype=np.int64), columns=columns)

    def _read_payload(self, payload: Packed, cells: list[list[Any]]) -> None:
        offset = self._bitmap_bytes
        for number, column in enumerate(self.view.tile_columns):
            value: Any
            match column.type:
                case DataType.STRING:
                    (length,) = struct.unpack_from("<I", payload, offset)
                    value = str(payload[offset + 4 : offset + 4 + length], "utf-8")
                    offset += 4 + length
                case DataType.BOOLEAN:
                    value = bool(payload[offset])
                    offset += 1
                case DataType.FLOAT64:
                    (value,) = struct.unpack_from("<d", payload, offset)
                    offset += 8
                case _:
                    (value,) = struct.unpack_from("<q", payload, offset)
                    offset += 8
            cells[number].append(None if payload[number // 8] >> number % 8 & 1 else value)

    def _pack_varying(self, start_ms: Int64s, revision: Int64s, ordered: Sequence[Values], nulls: NDArray[np.uint8]) -> list[bytes]:
        encoded = [_cells(values, column.type) for values, column in zip(ordered, self.view.tile_columns, strict=True)]
        records = []
        for row, (start, number) in enumerate(zip(start_ms.tolist(), revision.tolist(), strict=True)):
            payload = b"".join([nulls[row].tobytes(), *(cell[row] for cell in encoded)])
            records.append(RECORD.pack(len(payload), start, number) + payload)
        return records

    def damaged(self, what: str) -> DataError:
        """The error of a value that cannot be read."""
        return DataError(
            f"online store: packed tiles of view {self.view.name!r} are damaged: {what}; rebuild them from topic {self.view.tiles_topic!r}"
        )


def kept_from_ms(packed: Sequence[Packed | None]) -> Int64s:
    """int64[k], what packed values of any layout say: tiles that start before are not in them."""
    return np.array(
        [HEAD.unpack_from(value)[0] if value and len(value) >= HEAD.size else NOTHING_DROPPED for value in packed], dtype=np.int64
    )


def _cells(values: Values, type_: DataType) -> list[bytes]:
    if type_ is DataType.STRING:
        texts = values.arrow(type_).to_pylist()
        return [struct.pack("<I", len(data)) + data for data in ((text or "").encode() for text in texts)]
    data = values.filled(0).astype(FORMATS[type_]).tobytes()
    width = np.dtype(FORMATS[type_]).itemsize
    return [data[offset : offset + width] for offset in range(0, len(data), width)]
