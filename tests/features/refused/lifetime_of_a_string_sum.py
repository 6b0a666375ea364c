# v.f: Sum of "colour", which is string, is not defined; allowed is float64, int64 ({file})
from __future__ import annotations

from features import FeatureView, Lifetime, Sum

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime(Sum("colour"))})
