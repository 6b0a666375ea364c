# v.f: window is 0s; allowed is a timedelta above 0 ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count().over(0 * minute)})
