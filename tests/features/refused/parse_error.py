# v.f: cannot parse "amount >": something is missing at character 8 ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count(where="amount >").over(hour)})
