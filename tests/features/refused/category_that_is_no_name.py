# v.f: CategoryCounts category 'light red' cannot end a name (ASCII letters, digits, single underscores); give a mapping of name → value ({file})
from __future__ import annotations

from features import CategoryCounts, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": CategoryCounts("colour", ["light red"]).over(hour)})
