# s: no schema "prediction" (prediction.avsc); there are event, request, scored ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="prediction")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
