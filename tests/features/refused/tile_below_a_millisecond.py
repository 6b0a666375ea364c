# v: tile 0:00:00.000500 is not whole milliseconds; durations are whole milliseconds ({file})
from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureView

from .sources import events, hour, user

v = FeatureView(entity=user, source=events, tile=timedelta(microseconds=500), features={"n": Count().over(hour)})
