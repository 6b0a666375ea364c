# s: id: field "amount" of schema "event" is float64; allowed is string or int64 ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", id="amount")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
