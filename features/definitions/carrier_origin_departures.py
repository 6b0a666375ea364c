"""How one carrier is running at the origin airport."""

from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureView, Max, Mean

from .sources import carrier_origin, departures

minute, hour = timedelta(minutes=1), timedelta(hours=1)

carrier_origin_departures = FeatureView(
    entity=carrier_origin,
    source=departures,
    tile=5 * minute,
    features={
        "carrier_departures_3h": Count().over(3 * hour),
        "carrier_dep_delay_mean_1h": Mean("dep_delay").over(hour),
        "carrier_dep_delay_mean_3h": Mean("dep_delay").over(3 * hour),
        "carrier_dep_delay_max_3h": Max("dep_delay").over(3 * hour),
    },
)
