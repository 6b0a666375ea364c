# v.stale: "stale" is reserved: served rows have a column of this name ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"stale": Count().over(hour)})
