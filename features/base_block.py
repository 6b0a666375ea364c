"""The base of a key as bytes, in the packed value of a view with `Lifetime` features: see `features.packing`.

u8 flags; the base: its record, u32 length and its ledger. With the flag OUTDATED follows the base that is to replace it: i64 revision, record,
u32 length, ledger. A reader needs the flags and the first record; the rest is the writers'.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from features.ledger import Ledger

INCOMPLETE = 1
"""Tiles were dropped before there was a base, as when a definition changes under its name."""
OUTDATED = 2
"""Some tiles of the base were corrected since; it is replaced once all of them have come again."""

_RECORD_LENGTH = struct.Struct("<I")
_RECORD_HEAD_BYTES = 20
_LENGTH = struct.Struct("<I")
_REVISION = struct.Struct("<q")


@dataclass(frozen=True, kw_only=True)
class Base:
    """Tiles merged into one.

    Attributes:
        record: The merged tile, as the store keeps tiles; its start is where the base ends. Empty of no tiles.
        ledger: Which tiles.
    """

    record: bytes
    ledger: Ledger


@dataclass(frozen=True, kw_only=True)
class BaseBlock:
    """What is kept of the tiles of a key that are no longer kept themselves.

    Attributes:
        base: What readers add.
        next: All of these tiles that came again in a revision above 0, and what came since; it takes the base's place once it has as many.
        next_revision: That revision.
        incomplete: Tiles were dropped before there was a base.
    """

    base: Base
    next: Base | None = None
    next_revision: int = 0
    incomplete: bool = False

    @classmethod
    def of(cls, data: bytes) -> BaseBlock:
        """Read it.

        Raises:
            ValueError: It is damaged.
        """
        if not data:
            return cls(base=Base(record=b"", ledger=Ledger.empty()))
        try:
            base, offset = _base_at(data, 1)
            if not data[0] & OUTDATED:
                return cls(base=base, incomplete=bool(data[0] & INCOMPLETE))
            (revision,) = _REVISION.unpack_from(data, offset)
            following, _ = _base_at(data, offset + _REVISION.size)
        except struct.error as error:
            raise ValueError(f"base: {error}") from error
        return cls(base=base, next=following, next_revision=revision, incomplete=bool(data[0] & INCOMPLETE))

    @property
    def packed(self) -> bytes:
        """As bytes; none of an empty base."""
        if not self.base.record:
            return b""
        flags = (INCOMPLETE if self.incomplete else 0) | (OUTDATED if self.next is not None else 0)
        after = b"" if self.next is None else _REVISION.pack(self.next_revision) + _packed(self.next)
        return bytes([flags]) + _packed(self.base) + after


def _base_at(data: bytes, offset: int) -> tuple[Base, int]:
    end = offset + _RECORD_HEAD_BYTES + _RECORD_LENGTH.unpack_from(data, offset)[0]
    begin = end + _LENGTH.size
    stop = begin + _LENGTH.unpack_from(data, end)[0]
    return Base(record=data[offset:end], ledger=Ledger.of(data[begin:stop])), stop


def _packed(base: Base) -> bytes:
    ledger = base.ledger.packed
    return base.record + _LENGTH.pack(len(ledger)) + ledger
