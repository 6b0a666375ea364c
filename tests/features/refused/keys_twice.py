# e: keys user, user has a name twice ({file})
from __future__ import annotations

from features import Count, Entity, FeatureView

from .sources import events, hour, minute

e = Entity(keys=["user", "user"])
v = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
