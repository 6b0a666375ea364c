# v.f: hop 2h is longer than the window 1h; allowed is at most the window ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=5 * minute, features={"f": Count().over(hour, hop=2 * hour)})
