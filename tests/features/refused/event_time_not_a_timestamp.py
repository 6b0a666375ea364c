# s: event_time: field "items" of schema "event" is int64; allowed is timestamp-millis ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", event_time="items")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
