"""The server alone: `HMGET`s of what our reader reads, written beforehand; the replies are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.plan import ViewPlan
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, tiles_fields

Call = tuple[bytes, int]
"""What is sent, and how many replies come."""


class Hmget:
    """Asks over a connection of its own."""

    def __init__(self, client: Client) -> None:
        self._connection = client.connection_pool.get_connection()

    def call(self, views: Sequence[ViewPlan], keys: Sequence[Sequence[str]]) -> Call:
        """A round trip for the tiles of each view's keys."""
        commands = [
            ("HMGET", key, tiles_fields(view)[0])
            for view, own in zip(views, keys, strict=True)
            for key in EntityKeys(view.keys, "tidemark").of_all([(each,) for each in own])
        ]
        return b"".join(part for command in commands for part in self._connection.pack_command(*command)), len(commands)

    def ask(self, call: Call) -> list[Any]:
        """Make it."""
        sent, replies = call
        self._connection.send_packed_command([sent])
        return [self._connection.read_response(disable_decoding=True) for _ in range(replies)]
