# s: request must be a Source, got str ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request="requests", views=[v])
