# v.f: hop 7m is not a multiple of the tile 5m; the nearest allowed is 5m or 10m ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=5 * minute, features={"f": Count().over(hour, hop=7 * minute)})
