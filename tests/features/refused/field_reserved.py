# s: schema "scored" has a field "written", a name that is reserved for the pipeline; rename the field ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="scored", schema="scored")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
