# v.f: tie= "paid" is boolean; allowed is float64, int64, string, timestamp ({file})
from __future__ import annotations

from features import FeatureView, Last

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Last("amount", tie="paid").over(hour)})
