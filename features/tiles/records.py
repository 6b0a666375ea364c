"""The records of a packed value as a writer takes them apart: places in the bytes, times and revisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.columns.record import RECORD
from features.columns.values import Bools, Int64s
from features.tiles.codec import Packed, TileCodec


@dataclass(frozen=True, kw_only=True)
class Record:
    """A packed tile.

    Attributes:
        data: All of its bytes.
    """

    start_ms: int
    revision: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records by start.

    Attributes:
        data: All of their bytes.
        offsets: int64[n + 1], where each begins, and where the last ends.
        start_ms, revision: int64[n].
    """

    data: bytes
    offsets: Int64s
    start_ms: Int64s
    revision: Int64s

    @classmethod
    def of(cls, codec: TileCodec, data: Packed) -> Records:
        """Take them apart.

        Raises:
            DataError: They are damaged.
        """
        body = bytes(data)
        if codec.record is not None:
            width = codec.record.itemsize
            if len(body) % width:
                raise codec.damaged(f"records are {width} bytes")
            read = np.frombuffer(body, dtype=codec.record)
            start_ms, revision = (np.ascontiguousarray(read[name], dtype=np.int64) for name in ("start", "revision"))
            return cls(data=body, offsets=np.arange(len(read) + 1, dtype=np.int64) * width, start_ms=start_ms, revision=revision)
        offsets, heads, offset = [0], [], 0
        while offset < len(body):
            if len(body) < offset + RECORD.size:
                raise codec.damaged("a record is cut short")
            length, *head = RECORD.unpack_from(body, offset)
            offset += RECORD.size + length
            if offset > len(body):
                raise codec.damaged("a record is cut short")
            offsets.append(offset)
            heads.append(head)
        times = np.array(heads, dtype=np.int64).reshape(-1, 2)
        return cls(data=body, offsets=np.array(offsets, dtype=np.int64), start_ms=times[:, 0], revision=times[:, 1])

    def __len__(self) -> int:
        return len(self.start_ms)

    def one_by_one(self) -> list[Record]:
        """An object for each, for whoever decides about them one after the other."""
        heads = zip(self.start_ms.tolist(), self.revision.tolist(), self.each(), strict=True)
        return [Record(start_ms=start_ms, revision=revision, data=data) for start_ms, revision, data in heads]

    def each(self) -> Iterator[bytes]:
        """One after the other."""
        for begin, end in pairwise(self.offsets.tolist()):
            yield self.data[begin:end]

    def by_start(self) -> dict[int, bytes]:
        """Start → record."""
        return dict(zip(self.start_ms.tolist(), self.each(), strict=True))

    def between(self, first_ms: int, end_ms: int) -> bytes:
        """Those that start in `[first, end)`, as bytes."""
        low, high = np.searchsorted(self.start_ms, [first_ms, end_ms]).tolist()
        return self.data[self.offsets[low] : self.offsets[high]]

    def chosen(self, which: Bools) -> bytes:
        """Some of them, as bytes."""
        if which.all():
            return self.data
        return b"".join([self.data[self.offsets[place] : self.offsets[place + 1]] for place in np.flatnonzero(which).tolist()])
