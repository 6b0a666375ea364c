"""A packed value of a view with `Lifetime` features, taken apart and put together again: what a writer changes. See `features.tiles.codec`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.tiles.codec import HEAD, LENGTH, RECORD, Packed, TileCodec


@dataclass(frozen=True, kw_only=True)
class Record:
    """A packed tile.

    Attributes:
        data: All of its bytes.
    """

    start_ms: int
    revision: int
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> Record:
        """Read the head of a record."""
        _, start, revision = RECORD.unpack_from(data)
        return cls(start_ms=start, revision=revision, data=data)


@dataclass(frozen=True, kw_only=True)
class PackedValue:
    """A packed value; times as in its header.

    Attributes:
        block: What is kept of the tiles before `kept_from_ms` (`features.tiles.base_block`); empty of none.
        records: By start.
    """

    kept_from_ms: int
    newest_end_ms: int
    block: bytes
    records: Sequence[Record]

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
        records, offset = [], 0
        while offset < len(body):
            records.append(Record.of(bytes(codec.first(body[offset:]))))
            offset += len(records[-1].data)
        return cls(kept_from_ms=kept_from, newest_end_ms=newest_end, block=bytes(block), records=records)

    def packed(self, codec: TileCodec) -> bytes:
        """Its bytes."""
        head = HEAD.pack(self.kept_from_ms, self.newest_end_ms, codec.layout)
        return b"".join([head, LENGTH.pack(len(self.block)), self.block, *(record.data for record in self.records)])


def moved(record: bytes, start_ms: int) -> bytes:
    """A record with another start; of no bytes none."""
    if not record:
        return record
    length, _, revision = RECORD.unpack_from(record)
    return RECORD.pack(length, start_ms, revision) + record[RECORD.size :]
