"""Which closings of each view the frontier topic still holds."""

from __future__ import annotations

from dataclasses import dataclass

from features.plan import FRONTIER_TOPIC, Plan
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.records import RecordReader
from schemas.schema import SHIPPED, SchemaSet


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The first and the last tile end that was closed, and the size of the view's tiles."""

    first_ms: int
    last_ms: int
    tile_ms: int


def extents(settings: Settings, plan: Plan) -> dict[str, Extent]:
    """View → its closings; a view without any is not there. What cannot be read is materialize's to refuse.

    Raises:
        ServiceError: Kafka does not answer.
    """
    reader = RecordReader(SchemaSet.load(settings.schemas or SHIPPED), lambda: plan)
    found: dict[str, Extent] = {}
    for message in messages(Connection.of(settings), FRONTIER_TOPIC):
        closing = reader.record(message)
        view = plan.views.get(str(closing.get("view")))
        if view is not None:
            end_ms = round(closing["tile_end"].timestamp() * 1000)
            known = found.get(view.name, Extent(first_ms=end_ms, last_ms=end_ms, tile_ms=view.tile_ms))
            found[view.name] = Extent(first_ms=min(known.first_ms, end_ms), last_ms=max(known.last_ms, end_ms), tile_ms=view.tile_ms)
    return found
