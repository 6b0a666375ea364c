"""Retires tiles into the bases of their keys, where views have `Lifetime` features: read, merge here, and put back unless somebody else was faster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha1

from features.tiles.codec import TileCodec
from features.tiles.compaction import Retirement
from inference.online.connection import Client, Script, hmget_many
from inference.online.layout import packed_of, value_of
from schemas.errors import ServiceError

RETIRE_AT = 32
"""So many tiles past retention are merged at a time: a key that gets a tile at each step is not read and written back at each."""

_KEYS = 256  # worked on at once
_TRIES = 100


class Bases:
    """The bases of one view's keys."""

    def __init__(self, codec: TileCodec, client: Client, *, field: bytes, retention_ms: int) -> None:
        """Prepare the constant parts.

        Args:
            codec: The view's.
            client: From `connect`.
            field: The hash field of the packed tiles.
            retention_ms: How far before its newest tile's end a key keeps tiles.
        """
        self._retirement = Retirement(codec=codec, retention_ms=retention_ms)
        self._client = client
        self._field = field
        self._replace = Script("replace_value")

    def retire(self, keys: Sequence[bytes]) -> None:
        """Merge all that is due in these keys. Who loses a race reads again; whoever wins has merged the same.

        Raises:
            DataError: A stored value is damaged.
            ServiceError: Redis does not answer, or the keys are never left alone.
        """
        for first in range(0, len(keys), _KEYS):
            left = list(keys[first : first + _KEYS])
            for _ in range(_TRIES):
                left = self._try(left)
                if not left:
                    break
            else:
                raise ServiceError(f"redis: {len(left):,} keys change each time before their tiles can be merged; run fewer writers")

    def _try(self, keys: Sequence[bytes]) -> list[bytes]:
        """One attempt; returns the keys that changed meanwhile."""
        (answers,) = hmget_many(self._client, [(keys, [self._field])])
        found = [(key, value) for key, (value,) in zip(keys, answers, strict=True) if value]
        retired = self._retirement.retire([packed_of(value) or b"" for _, value in found], now_ms=time.time_ns() // 1_000_000)
        due = [(key, old, new) for (key, old), new in zip(found, retired, strict=True) if new is not None]
        calls = [([key], [self._field, sha1(old, usedforsecurity=False).hexdigest(), value_of(new)]) for key, old, new in due]
        replies = self._replace.run(self._client, calls)
        return [key for (key, _, _), reply in zip(due, replies, strict=True) if not reply]
