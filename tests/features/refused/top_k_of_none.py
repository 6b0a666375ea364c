# v.f: TopK k=0; allowed is a whole number from 1 to 100 ({file})
from __future__ import annotations

from features import FeatureView, TopK

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": TopK("colour", k=0).over(hour)})
