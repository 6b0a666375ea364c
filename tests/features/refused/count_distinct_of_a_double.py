# v.f: CountDistinct of "amount", which is float64, is not defined: engines write a double as different texts; round it to whole units or cut it into named ranges with CASE; allowed is boolean, int64, string ({file})
from __future__ import annotations

from features import CountDistinct, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": CountDistinct("amount").over(hour)})
