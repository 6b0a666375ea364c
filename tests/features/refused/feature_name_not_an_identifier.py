# v.1h events: "1h events" cannot be a name: allowed are ASCII letters, digits and single underscores, a letter first ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"1h events": Count().over(hour)})
