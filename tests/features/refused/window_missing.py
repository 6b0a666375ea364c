# v.f: lacks its window; write .over(timedelta(…)), or Lifetime(…) for all time ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count()})
