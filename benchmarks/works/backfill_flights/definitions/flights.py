"""Four views of six features each, and the service that asks for all of them."""

from __future__ import annotations

from datetime import timedelta

from features import Count, FeatureService, FeatureView, Label, Last, Max, Mean, Min, StdDev

from .sources import aircraft, arrivals, carrier_origin, departures, destination, flight_requests, origin

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

carrier_origin_departures = FeatureView(
    entity=carrier_origin,
    source=departures,
    tile=5 * minute,
    features={
        "carrier_departures_1h": Count().over(hour),
        "carrier_departures_3h": Count().over(3 * hour),
        "carrier_late_3h": Count(where="dep_delay > 15").over(3 * hour),
        "carrier_dep_delay_mean_1h": Mean("dep_delay").over(hour),
        "carrier_dep_delay_mean_3h": Mean("dep_delay").over(3 * hour),
        "carrier_dep_delay_max_3h": Max("dep_delay").over(3 * hour),
    },
)

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
        "dest_arr_delay_min_3h": Min("arr_delay").over(3 * hour),
    },
)

aircraft_arrivals = FeatureView(
    entity=aircraft,
    source=arrivals,
    tile=5 * minute,
    features={
        "aircraft_arrivals_3h": Count().over(3 * hour),
        "aircraft_arrivals_12h": Count().over(12 * hour),
        "aircraft_last_arr_delay_12h": Last("arr_delay").over(12 * hour),
        "aircraft_arr_delay_mean_12h": Mean("arr_delay").over(12 * hour),
        "aircraft_arr_delay_min_12h": Min("arr_delay").over(12 * hour),
        "aircraft_arr_delay_max_12h": Max("arr_delay").over(12 * hour),
    },
)

flights = FeatureService(
    request=flight_requests,
    views=[origin_departures, carrier_origin_departures, destination_arrivals, aircraft_arrivals],
    request_features=["carrier", "origin", "dest", "distance", "hour", "minute", "weekday"],
    label=Label(source=arrivals, on="flight_id", value="arr_delay > 15"),
)
