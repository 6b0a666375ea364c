# v.f: hop must be a timedelta above 0, got 5 ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=5 * minute, features={"f": Count().over(hour, hop=5)})
