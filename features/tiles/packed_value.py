"""A packed value of a view with `Lifetime` features or several levels, taken apart and put together again: what a writer changes. See `features.tiles.codec`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from features.columns.record import RECORD
from features.tiles.codec import HEAD, LENGTH, Packed, TileCodec
from features.tiles.records import Records


@dataclass(frozen=True, kw_only=True)
class PackedValue:
    """A packed value; times as in its header.

    Attributes:
        block: What is kept beside the records (`features.tiles.base_block`, `features.tiles.level_block`); empty of nothing.
        records: By start.
    """

    kept_from_ms: int
    newest_end_ms: int
    block: bytes
    records: Records

    @classmethod
    def of(cls, codec: TileCodec, packed: Packed) -> PackedValue | None:
        """Take one apart; None where it is of another definition.

        Raises:
            DataError: It is damaged.
        """
        value = memoryview(packed)
        if len(value) < HEAD.size:
            raise codec.damaged(f"one is less than its header of {HEAD.size} bytes")
        kept_from, newest_end, layout = HEAD.unpack_from(value)
        if layout != codec.layout:
            return None
        block, body = codec.split(value[HEAD.size :])
        return cls(kept_from_ms=kept_from, newest_end_ms=newest_end, block=bytes(block), records=Records.of(codec, body))


def put_together(codec: TileCodec, *, kept_from_ms: int, newest_end_ms: int, block: bytes, records: Iterable[bytes]) -> bytes:
    """The bytes of a packed value; arguments as of `PackedValue`."""
    return b"".join([HEAD.pack(kept_from_ms, newest_end_ms, codec.layout), LENGTH.pack(len(block)), block, *records])


def moved(record: bytes, start_ms: int) -> bytes:
    """A record with another start; of no bytes none."""
    if not record:
        return record
    length, _, revision = RECORD.unpack_from(record)
    return RECORD.pack(length, start_ms, revision) + record[RECORD.size :]
