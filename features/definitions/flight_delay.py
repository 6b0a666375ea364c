"""Will this flight arrive more than 15 minutes late? Asked 30 minutes before it is scheduled to leave."""

from __future__ import annotations

from features import FeatureService, Label

from .aircraft_arrivals import aircraft_arrivals
from .carrier_origin_departures import carrier_origin_departures
from .destination_arrivals import destination_arrivals
from .origin_departures import origin_departures
from .sources import arrivals, flight_requests

flight_delay = FeatureService(
    request=flight_requests,
    views=[origin_departures, carrier_origin_departures, destination_arrivals, aircraft_arrivals],
    # Not the month: a model of January to September has never seen an October, and learned (AUC of the static model 0.65 with it, 0.67 without).
    request_features=["carrier", "origin", "dest", "distance", "hour", "minute", "weekday"],
    label=Label(source=arrivals, on="flight_id", value="arr_delay > 15"),
)
