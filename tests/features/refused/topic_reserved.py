# s: topic "events.dlq" is reserved: Tidemark writes topics that begin with "tidemark." or end with ".dlq" or ".late" ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="events.dlq", schema="event")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
