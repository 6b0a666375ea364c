"""What Kafka holds of the tiles topics and the frontier topic.

Asked by `inference.online.marks`, inside the workers of `jobs/materialize`, when the store is new or may have lost data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.plan import FRONTIER_TOPIC, ViewPlan
from inference.materializer import EndReader
from inference.online.frontier import Place
from inference.online.marks import Span
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.slices import Slice, bodies_of
from schemas.schema import SchemaSet

_CLOSINGS, _TILES = 100_000, 1_000
"""The last records of a partition, which tell the newest tile of each view: tiles come in order of their ends, apart from history's and corrected ones."""


@dataclass(frozen=True, kw_only=True)
class TileLog:
    """Implements `inference.online.marks.Log`.

    Attributes:
        kafka: Its connection.
        views: Whose tiles.
        schemas: For the closings.
    """

    kafka: Connection
    views: Sequence[ViewPlan]
    schemas: SchemaSet

    def extents(self, names: Sequence[str]) -> Mapping[Place, Span]:
        """Where the partitions of some topics begin and end now.

        Raises:
            ServiceError: Kafka does not answer.
            SettingError: There is no such topic.
        """
        found = admin.extents(self.kafka, names)
        return {(topic, partition): extent for topic, partitions in found.items() for partition, extent in partitions.items()}

    def holds(self, place: Place, span: Span) -> bool:
        """Whether a partition has any record of a span; what is gone by retention it has not.

        Raises:
            ServiceError: Kafka does not answer.
        """
        topic, partition = place
        begin, end = self.extents([topic])[place]
        first, last = max(span[0], begin), min(span[1], end)
        if first >= last:
            return False
        slice_ = Slice(source="", topic=topic, partition=partition, first=first, end=last)
        return any(bodies_of(self.kafka, slice_))

    def newest_ends(self) -> Mapping[str, int]:
        """View → the largest tile end (ms) of its tiles and closings.

        Raises:
            ServiceError: Kafka does not answer.
        """
        reader, newest = EndReader(self.views, self.schemas), dict[str, int]()
        for topic, tail in ((FRONTIER_TOPIC, _CLOSINGS), *((view.tiles_topic, _TILES) for view in self.views)):
            start = {partition: max(first, end - tail) for (_, partition), (first, end) in self.extents([topic]).items()}
            bodies = [message.value() or b"" for message in messages(self.kafka, topic, start=start)]
            for view, end_ms in reader.newest(topic, bodies).items():
                newest[view] = max(end_ms, newest.get(view, end_ms))
        return newest
