"""The frontier of each view: up to when all its tiles are readable. Kept in Redis, published where Feast reads it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.online.connection import Client, Script, answering
from inference.online.layout import frontier_fields, frontier_key, int64_of, varint


class Frontiers:
    """Counts the stream's stored tiles against closings and advances in order. Everything may be said again, by anyone, at any time."""

    def __init__(self, client: Client, *, project: str = "tidemark") -> None:
        """Name the server and Feast's project."""
        self._client = client
        self._project = project
        self._advance = Script("advance_frontier")
        self._raise = Script("raise_frontier")

    def stored(self, view: str, tiles: Mapping[int, Sequence[bytes]]) -> int | None:
        """Say which tiles are readable now that closings announce: tile end (ms) → entity keys. Returns the frontier."""
        return self._account(view, [(tile_end, -1, keys) for tile_end, keys in sorted(tiles.items())])

    def closed(self, view: str, closings: Iterable[tuple[int, int]]) -> int | None:
        """Say what the watermark has passed: (tile end in ms, how many tiles it has). Returns the frontier."""
        return self._account(view, [(tile_end, tiles, ()) for tile_end, tiles in closings])

    def read(self, views: Sequence[str]) -> dict[str, int | None]:
        """The frontier of each view in ms; None before the first closing."""
        if not views:
            return {}
        with answering(self._client):
            key: Any = frontier_key(self._project)  # bytes, which redis-py takes and its annotations deny
            values: Any = self._client.hmget(key, [frontier_fields(view)[0] for view in views])
        return {view: int64_of(value) for view, value in zip(views, values, strict=True)}

    def _account(self, view: str, calls: Sequence[tuple[int, int, Sequence[bytes]]]) -> int | None:
        tag = f"tidemark:{self._project}:{{{view}}}"  # one slot of a cluster
        keys = [f"{tag}:{part}" for part in ("frontier", "closings", "announced", "pending", "pending:")]
        replies = self._advance.run(self._client, [(keys, [end, tiles, *members]) for end, tiles, members in calls])
        if not replies or replies[-1] is None:
            return None
        frontier = int(replies[-1])
        field, ts_field = frontier_fields(view)
        self._raise.run(
            self._client, [([frontier_key(self._project)], [field, ts_field, frontier, _int64_value(frontier), _timestamp(frontier)])]
        )
        return frontier


def _int64_value(number: int) -> bytes:
    return b"\x20" + varint(number)


def _timestamp(ms: int) -> bytes:
    seconds, rest_ms = divmod(ms, 1000)
    return (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(rest_ms * 1_000_000) if rest_ms else b"")
