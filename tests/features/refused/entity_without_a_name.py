# v: entity is not assigned to a variable of the definitions ({file})
from __future__ import annotations

from features import Count, Entity, FeatureView

from .sources import events, hour, minute

v = FeatureView(entity=Entity(keys=["user"]), source=events, tile=minute, features={"n": Count().over(hour)})
