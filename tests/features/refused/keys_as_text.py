# e: keys must be a list of field names, e.g. ["origin"], got 'user' ({file})
from __future__ import annotations

from features import Count, Entity, FeatureView

from .sources import events, hour, minute

e = Entity(keys="user")
v = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
