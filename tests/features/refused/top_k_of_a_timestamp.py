# v.f: TopK of "shipped", which is timestamp, is not defined: take a part of it, e.g. HOUR(…); allowed is boolean, int64, string ({file})
from __future__ import annotations

from features import FeatureView, TopK

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": TopK("shipped").over(hour)})
