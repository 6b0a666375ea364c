# v.f: window must be a timedelta above 0, got 60 ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count().over(60)})
