# s: dedupe= needs id=, the field by which repeats are known ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", dedupe=hour)
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
