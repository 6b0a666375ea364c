# v.top_1: "top_1" is another feature of this view; names differ by more than case ({file})
from __future__ import annotations

from features import Count, FeatureView, TopK

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"top": TopK("colour").over(hour), "top_1": Count().over(hour)})
