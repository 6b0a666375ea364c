# v.f: Lifetime has no window; write Lifetime(Count(…)) without .over, or .over without Lifetime ({file})
from __future__ import annotations

from features import Count, FeatureView, Lifetime

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime(Count().over(hour))})
