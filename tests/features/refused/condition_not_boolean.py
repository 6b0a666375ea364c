# v.f: where= "amount" is float64; a condition is boolean ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Count(where="amount").over(hour)})
