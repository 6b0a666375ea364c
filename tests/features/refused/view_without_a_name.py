# s: views[0] is not assigned to a variable of the definitions ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView

from .sources import events, hour, minute, requests, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(
    request=requests,
    views=[FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})],
    request_features=["price"],
)
