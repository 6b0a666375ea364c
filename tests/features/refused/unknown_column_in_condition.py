# v.f: source "events" has no column "piad"; did you mean "paid"? ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count(where="piad").over(hour)})
