# s: dedupe is 0s; allowed is a timedelta above 0 ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", id="id", dedupe=0 * hour)
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
