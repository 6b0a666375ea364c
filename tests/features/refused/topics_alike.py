# s: topic "events_late" differs from topic "events.late" in dots and underscores alone, and Kafka refuses the second of such ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="events_late", schema="event")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
