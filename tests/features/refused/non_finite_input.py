# v.f: field "wild" is declared non_finite in schema "event", and engines order and add NaN differently; only fields without it can be computed with ({file})
from __future__ import annotations

from features import FeatureView, Max

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Max("wild").over(hour)})
