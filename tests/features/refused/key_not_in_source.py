# v: key of entity "e": source "events" has no field "usr"; did you mean "user"? ({file})
from __future__ import annotations

from features import Count, Entity, FeatureView

from .sources import events, hour, minute

e = Entity(keys=["usr"])
v = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
