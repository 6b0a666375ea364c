# v: entity must be an Entity, got str ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute

v = FeatureView(entity="user", source=events, tile=minute, features={"n": Count().over(hour)})
