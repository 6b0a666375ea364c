# {file}:8: TypeError: FeatureView() got an unexpected keyword argument 'tiles'
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)}, tiles=minute)
