# v__tiles: "v__tiles" cannot be a name: allowed are ASCII letters, digits and single underscores, a letter first ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v__tiles = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
