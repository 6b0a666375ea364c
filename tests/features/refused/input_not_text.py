# v.f: an expression is text, got int ({file})
from __future__ import annotations

from features import FeatureView, Sum

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Sum(5).over(hour)})
