# s: topic "events" is already read by source "events" ({base}); a topic has one source ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="events", schema="event")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
