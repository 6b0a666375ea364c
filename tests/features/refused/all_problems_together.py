# v.a: source "events" has no column "amuont"; did you mean "amount"? ({file})
# v.b: window 1m30s is not a multiple of the tile 1m; the nearest allowed is 1m or 2m ({file})
# v.c: Sum of "colour", which is string, is not defined; allowed is float64, int64 ({file})
# v: delay is -1m; allowed is a timedelta 0 or more ({file})
from __future__ import annotations

from features import Count, FeatureView, Sum

from .sources import events, hour, minute, user

v = FeatureView(
    entity=user,
    source=events,
    tile=minute,
    features={"a": Sum("amuont").over(hour), "b": Count().over(1.5 * minute), "c": Sum("colour").over(hour)},
    delay=-minute,
)
