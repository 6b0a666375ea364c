"""The frontier topic as the demo reads it: how many tiles there were, and when the features job was through with a time."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from fastavro import schemaless_reader

from features.plan import FRONTIER_TOPIC
from jobs.demo.topic_follower import Record
from schemas.schema import Schema


@dataclass(kw_only=True)
class Closings:
    """What has been closed so far.

    Attributes:
        schema: The built-in schema `closing`.
        tiles: (view, tile end in ms) → how many tiles.
        newest: View → end of the newest closed tile.
    """

    schema: Schema
    tiles: dict[tuple[str, int], int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    _seen: int = 0

    def take(self, records: list[Record]) -> None:
        """Read what was added to a growing list of records."""
        for record in records[self._seen :]:
            if record.topic == FRONTIER_TOPIC and record.value is not None:
                closing: dict[str, object] = schemaless_reader(io.BytesIO(record.value), dict(self.schema.avro), None)  # type: ignore[assignment]
                view, end_ms = str(closing["view"]), round(closing["tile_end"].timestamp() * 1000)  # type: ignore[attr-defined]
                self.tiles[view, end_ms] = int(closing["tiles"])  # type: ignore[call-overload]
                self.newest[view] = max(end_ms, self.newest.get(view, end_ms))
            self._seen += 1
