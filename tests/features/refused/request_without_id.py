# s: request source "r" needs id=, the field that identifies a request ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView, Source

from .sources import events, hour, minute, user

r = Source(topic="r", schema="request")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=r, views=[v])
