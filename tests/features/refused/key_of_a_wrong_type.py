# v: key "amount" of entity "e" is float64 in source "events"; allowed is string or int64 ({file})
from __future__ import annotations

from features import Count, Entity, FeatureView

from .sources import events, hour, minute

e = Entity(keys=["amount"])
v = FeatureView(entity=e, source=events, tile=minute, features={"n": Count().over(hour)})
