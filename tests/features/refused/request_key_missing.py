# s: key of view "w": request source "requests" has no field "id"; there are request_id, event_time, user, shop, price, colour, items ({file})
from __future__ import annotations

from features import Count, Entity, FeatureService, FeatureView

from .sources import events, hour, minute, requests, user

e = Entity(keys=["id"])
w = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[w])
