# v: source must be a Source, got Entity ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import hour, minute, user

v = FeatureView(entity=user, source=user, tile=minute, features={"n": Count().over(hour)})
