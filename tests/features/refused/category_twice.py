# v.f: CategoryCounts names a category twice ({file})
from __future__ import annotations

from features import CategoryCounts, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": CategoryCounts("colour", ["red", "Red"]).over(hour)})
