# s: trusted must be True or False, got 1 ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", trusted=1)
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
