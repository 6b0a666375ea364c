# v.N: "n" is another feature of this view; names differ by more than case ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour), "N": Count().over(minute)})
