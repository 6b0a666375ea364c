# {file}:8: Lifetime has no window; write Lifetime(…) without .over, or .over without Lifetime
from __future__ import annotations

from features import Count, FeatureView, Lifetime

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime(Count()).over(hour, hop=minute)})
