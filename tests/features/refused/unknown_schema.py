# s: no schema "evnt" (evnt.avsc); did you mean "event"? ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="evnt")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
