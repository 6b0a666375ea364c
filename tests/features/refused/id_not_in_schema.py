# s: id: schema "event" has no field "idd"; did you mean "id"? ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="t", schema="event", id="idd")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
