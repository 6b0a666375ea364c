# v.f: lacks its window; write .over(timedelta(…)) ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count()})
