# v.f: source "events" has no column "amuont"; did you mean "amount"? ({file})
from __future__ import annotations

from features import FeatureView, Sum

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Sum("amuont").over(hour)})
