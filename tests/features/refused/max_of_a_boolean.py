# v.f: Max of "paid", which is boolean, is not defined; allowed is float64, int64, string, timestamp ({file})
from __future__ import annotations

from features import FeatureView, Max

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Max("paid").over(hour)})
