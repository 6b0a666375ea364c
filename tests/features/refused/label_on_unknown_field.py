# s: label on=: source "events" has no field "request_id"; there are id, event_time, user, shop, amount, discount, items, paid, colour, shipped, wild ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView, Label

from .sources import events, hour, minute, requests, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[v], label=Label(source=events, on="request_id", value="paid"))
