# v.g: hop 15m and hop 10m of feature "f" do not divide one another, as the hops of a view must ({file})
from __future__ import annotations

from features import Count, FeatureView

from .sources import events, hour, minute, user

v = FeatureView(
    entity=user,
    source=events,
    tile=5 * minute,
    features={"f": Count().over(hour, hop=10 * minute), "g": Count().over(hour, hop=15 * minute)},
)
