# v.f: Quantile q=95; allowed is a number from 0 to 1 ({file})
from __future__ import annotations

from features import FeatureView, Quantile

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Quantile("amount", q=95).over(hour)})
