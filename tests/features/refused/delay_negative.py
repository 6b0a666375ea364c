# v: delay is -1m; allowed is a timedelta 0 or more ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)}, delay=-minute)
