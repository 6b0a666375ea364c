# v.f: Quantile of "colour", which is string, is not defined; allowed is float64, int64 ({file})
from __future__ import annotations

from features import FeatureView, Quantile

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Quantile("colour").over(hour)})
