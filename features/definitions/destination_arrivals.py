"""How late flights have reached the destination airport."""

from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureView, Max, Mean

from .sources import arrivals, destination

minute, hour = timedelta(minutes=1), timedelta(hours=1)

destination_arrivals = FeatureView(
    entity=destination,
    source=arrivals,
    tile=5 * minute,
    features={
        "dest_arrivals_3h": Count().over(3 * hour),
        "dest_late_3h": Count(where="arr_delay > 15").over(3 * hour),
        "dest_arr_delay_mean_1h": Mean("arr_delay").over(hour),
        "dest_arr_delay_mean_3h": Mean("arr_delay").over(3 * hour),
        "dest_arr_delay_max_3h": Max("arr_delay").over(3 * hour),
    },
)
