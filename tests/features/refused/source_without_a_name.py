# v: source is not assigned to a variable of the definitions ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import hour, minute, user

v = FeatureView(entity=user, source=Source(topic="t", schema="event"), tile=minute, features={"n": Count().over(hour)})
