# v.f: source "events" has no column "ids"; did you mean "id"? ({file})
from __future__ import annotations

from features import FeatureView, Last

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Last("amount", tie="ids").over(hour)})
