# {file}:8: TypeError: Lifetime() missing 1 required positional argument: 'aggregation'
from __future__ import annotations

from features import FeatureView, Lifetime

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Lifetime()})
