# s: feature "price" of view "w" has the name of a field of the request ("price"); rename one ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView

from .sources import events, hour, minute, requests, user

w = FeatureView(entity=user, source=events, tile=minute, features={"price": Count().over(hour)})
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[w])
