# v.f: Lifetime takes an aggregation, e.g. Lifetime(Count()), got 'amount' ({file})
from __future__ import annotations

from features import FeatureView, Lifetime

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime("amount")})
