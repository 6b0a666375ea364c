# s.prise: request feature: request source "requests" has no field "prise"; did you mean "price"? ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView

from .sources import events, hour, minute, requests, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[v], request_features=["prise"])
