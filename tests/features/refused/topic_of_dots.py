# s: topic '..' is not a topic's name; allowed are 1 to 200 ASCII letters, digits, dots, hyphens and underscores ({file})
from __future__ import annotations

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

s = Source(topic="..", schema="event")
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
