# v.f: Lifetime of a Lifetime is the same; write Lifetime once ({file})
from __future__ import annotations

from features import Count, FeatureView, Lifetime

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime(Lifetime(Count()))})
