"""What the aircraft itself has been through."""

from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureView, Last, Mean, Min

from .sources import aircraft, arrivals

minute, hour = timedelta(minutes=1), timedelta(hours=1)

aircraft_arrivals = FeatureView(
    entity=aircraft,
    source=arrivals,
    tile=5 * minute,
    features={
        "aircraft_arrivals_3h": Count().over(3 * hour),
        "aircraft_last_arr_delay_12h": Last("arr_delay").over(12 * hour),
        "aircraft_arr_delay_mean_12h": Mean("arr_delay").over(12 * hour),
        "aircraft_arr_delay_min_12h": Min("arr_delay").over(12 * hour),
    },
)
