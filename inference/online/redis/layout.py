"""Feast's own bytes in Redis (0.67, entity key serialization 3): keys, hash fields and values, so that any Feast client reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import mmh3
import numpy as np

from features.columns.column import Column
from features.compiler.feast import FRONTIER, OLDER, SINCE, TILES
from features.plan import ViewPlan
from features.tiles.codec import Enveloped
from inference.online.active_generation import RECORD_NAME
from inference.online.cold_tiles import ViewTiles
from schemas.types import DataType

_WHOLE_NUMBER = struct.Struct("<IIq")
_STRING, _INT64 = 2, 4  # feast.protos.feast.types.Value_pb2.ValueType
_BYTES_TAG, _INT64_TAG = b"\x0a", b"\x20"  # fields 1 and 4 of ValueProto
_LONGER = np.array([128**more + more + 2 for more in range(1, 5)])  # sizes of a ValueProto from which on its length is a byte longer
_DUMMY_KEY = "__dummy_id"
_SIGN = 1 << 63

ACTIVE_KEY, ACTIVE_FIELD = RECORD_NAME.encode(), b"record"
"""Where the record of what is served is."""

FORGETS = b"tidemark:forgets"
"""The hash field, beside the frontiers, that is there where the store may remove keys by itself."""


class EntityKeys:
    """Makes the Redis keys of one entity."""

    def __init__(self, keys: Sequence[Column], project: str) -> None:
        """Prepare the constant parts; Feast sorts by the name of the join key."""
        self._order = sorted(range(len(keys)), key=lambda number: keys[number].name)
        self._types = [keys[number].type for number in self._order]
        names = [keys[number].name.encode() for number in self._order]
        self._prefix = struct.pack("<I", len(keys)) + b"".join(struct.pack("<II", _STRING, len(name)) + name for name in names)
        self._suffix = project.encode()

    def of(self, values: Sequence[Any]) -> bytes:
        """The key of one entity; the values in the entity's declared order, none of them null."""
        (key,) = self.of_all([values])
        return key

    def of_all(self, entities: Sequence[Sequence[Any]]) -> list[bytes]:
        """The keys of many."""
        prefix, suffix = self._prefix, self._suffix
        if len(self._order) == 1:
            return [b"".join((prefix, part, suffix)) for part in self._parts(0, self._types[0], entities)]
        columns = [self._parts(number, type_, entities) for number, type_ in zip(self._order, self._types, strict=True)]
        return [b"".join((prefix, *parts, suffix)) for parts in zip(*columns, strict=True)]

    def _parts(self, number: int, type_: DataType, entities: Sequence[Sequence[Any]]) -> list[bytes]:
        """One value of each, as Feast writes it."""
        if type_ is not DataType.STRING:
            return [_WHOLE_NUMBER.pack(_INT64, 8, values[number]) for values in entities]
        texts = [values[number].encode() for values in entities]
        return [_text_head(len(text)) + text for text in texts]


@lru_cache(maxsize=1024)
def _text_head(length: int) -> bytes:
    return struct.pack("<II", _STRING, length)


def member_key(entity: bytes, project: str) -> bytes:
    """The key of an entity of a generation; `split_key` takes it apart."""
    return entity + project.encode()


def split_key(key: bytes) -> tuple[bytes, str] | None:
    """The part of a key that names the entity, and Feast's project; None where the key is none of Feast's."""
    try:
        (count,) = struct.unpack_from("<I", key)
        offset = 4
        for _ in range(2 * count):
            (length,) = struct.unpack_from("<I", key, offset + 4)
            offset += 8 + length
        return (key[:offset], key[offset:].decode()) if offset <= len(key) else None
    except (struct.error, UnicodeDecodeError):
        return None


def key_values(entity: bytes) -> dict[str, str | int]:
    """Join key → value of the entity part of a key."""
    (count,) = struct.unpack_from("<I", entity)
    offset, parts = 4, []
    for _ in range(2 * count):
        type_, length = struct.unpack_from("<II", entity, offset)
        data = entity[offset + 8 : offset + 8 + length]
        parts.append(struct.unpack("<q", data)[0] if type_ == _INT64 else data.decode())
        offset += 8 + length
    return {str(name): value for name, value in zip(parts[:count], parts[count:], strict=True)}


def frontier_key(project: str) -> bytes:
    """The key of what belongs to no entity: Feast's dummy entity."""
    return EntityKeys([Column(name=_DUMMY_KEY, type=DataType.STRING)], project).of([""])


INCARNATION = b"tidemark:incarnation"
"""The hash field, beside the frontiers, of which store this is; `serving_field` says the same in another key."""


def serving_field(project: str) -> bytes:
    """The hash field, beside the record of what is served, of which store a generation is."""
    return b"incarnation:" + project.encode()


def tiles_fields(view: ViewPlan) -> tuple[bytes, bytes]:
    """The hash fields of a view's packed tiles and of their timestamp."""
    return hash_fields(TILES.format(view=view.name))


def cold_fields(view: ViewPlan) -> tuple[bytes, bytes]:
    """The hash fields of the older of a view's tiles, which most reads need not have, and of their timestamp."""
    return hash_fields(OLDER.format(view=view.name))


def frontier_fields(view: str) -> tuple[bytes, bytes]:
    """The hash fields of a view's frontier and of its timestamp."""
    return hash_fields(FRONTIER.format(view=view))


def since_fields(view: str) -> tuple[bytes, bytes]:
    """The hash fields of the time since when a view is complete, and of its timestamp."""
    return hash_fields(SINCE.format(view=view))


def hash_fields(name: str) -> tuple[bytes, bytes]:
    """The hash fields of a Feast view of one feature of the same name: its value, and its timestamp."""
    return struct.pack("<I", mmh3.hash(f"{name}:{name}", signed=False)), f"_ts:{name}".encode()


def all_fields(views: Sequence[ViewPlan]) -> tuple[bytes, ...]:
    """The hash fields with all tiles of some views of an entity: the recent ones of each, then the cold ones of each."""
    return tuple(fields(view)[0] for fields in (tiles_fields, cold_fields) for view in views)


def view_tiles(views: int, replies: Sequence[Sequence[bytes | None]], *, cold: bool) -> list[ViewTiles]:
    """The tiles of each view of a group.

    Args:
        views: How many.
        replies: An entity's each, with the values of `all_fields`, or of its first half.
        cold: Whether it is all.
    """
    return [
        ViewTiles(
            recent=_inside([reply[position] for reply in replies]),
            cold=_inside([reply[views + position] for reply in replies]) if cold else None,
        )
        for position in range(views)
    ]


def _inside(values: Sequence[bytes | None]) -> Enveloped:
    """The bytes inside ValueProtos: behind a tag, and how many they are as varint."""
    return Enveloped(values=values if all(values) else [value or None for value in values], head=2, longer=_LONGER)


def account_prefix(project: str, view: str) -> str:
    """Of the keys of a view's account."""
    return f"tidemark:{project}:{{{view}}}:"


def packed_of(value: bytes | None) -> memoryview | None:
    """The bytes inside a ValueProto, not copied; None for null or absent."""
    (found,) = _inside([value])
    assert not isinstance(found, bytes)
    return found


def value_of(packed: bytes) -> bytes:
    """The ValueProto of some bytes."""
    return _BYTES_TAG + varint(len(packed)) + packed


def varint(number: int) -> bytes:
    """A number as protobuf writes it, negative ones as 64 bits."""
    number &= (1 << 64) - 1
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def int64_of(value: bytes | None) -> int | None:
    """The number inside a ValueProto; None for null or absent."""
    if not value:
        return None
    number = 0
    for place, byte in enumerate(value[1:]):
        number |= (byte & 0x7F) << 7 * place
    return number - 2 * _SIGN if number >= _SIGN else number
