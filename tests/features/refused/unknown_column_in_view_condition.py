# v: source "events" has no column "pad"; did you mean "paid"? ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)}, where="pad")
