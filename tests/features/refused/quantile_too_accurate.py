# v.f: Quantile accuracy=0; allowed is a number from 0.0001 to 0.5 ({file})
from __future__ import annotations

from features import FeatureView, Quantile

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Quantile("amount", accuracy=0).over(hour)})
