# s: label on= "items" is int64, but the request's id "request_id" is string; they must be equal ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView, Label

from .sources import events, hour, minute, requests, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[v], label=Label(source=events, on="items", value="paid"))
