# s: event_time: field "shipped" of schema "event" may be null; event_time may not ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", event_time="shipped")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
