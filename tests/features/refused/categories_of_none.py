# v.f: CategoryCounts categories=(); allowed are 1 to 1000 values, or a mapping of name → value ({file})
from __future__ import annotations

from features import CategoryCounts, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": CategoryCounts("colour").over(hour)})
