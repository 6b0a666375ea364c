# v.f: LastN n=101; allowed is a whole number from 1 to 100 ({file})
from __future__ import annotations

from features import FeatureView, LastN

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": LastN("amount", n=101).over(hour)})
