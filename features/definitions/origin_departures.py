"""How the origin airport is running."""

from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureView, Max, Mean, StdDev

from .sources import departures, origin

minute, hour = timedelta(minutes=1), timedelta(hours=1)

origin_departures = FeatureView(
    entity=origin,
    source=departures,
    tile=5 * minute,
    features={
        "origin_departures_1h": Count().over(hour),
        "origin_late_1h": Count(where="dep_delay > 15").over(hour),
        "origin_dep_delay_mean_1h": Mean("dep_delay").over(hour),
        "origin_dep_delay_mean_3h": Mean("dep_delay").over(3 * hour),
        "origin_dep_delay_std_3h": StdDev("dep_delay").over(3 * hour),
        "origin_dep_delay_max_3h": Max("dep_delay").over(3 * hour),
    },
)
