# s: event_time: schema "event" has no field "evnt_time"; did you mean "event_time"? ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", event_time="evnt_time")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
