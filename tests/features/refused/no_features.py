# v: features must map names to aggregations, e.g. {"events_1h": Count().over(hour)} ({file})
from __future__ import annotations

from features import FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={})
