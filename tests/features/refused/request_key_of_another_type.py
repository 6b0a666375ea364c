# s: key "items" is int64 in view "w" but string in request source "requests"; they must be equal ({file})
from __future__ import annotations

from features import Count, Entity, FeatureService, FeatureView

from .sources import events, hour, minute, requests, user

e = Entity(keys=["items"])
w = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[w])
