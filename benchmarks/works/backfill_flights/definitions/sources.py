"""The example's sources and entities."""

from __future__ import annotations

from datetime import timedelta

from features import Entity, Source

departures = Source(topic="departures", schema="departure", lateness=timedelta(minutes=1), id="flight_id", dedupe=timedelta(hours=1))
arrivals = Source(topic="arrivals", schema="arrival", lateness=timedelta(minutes=1), id="flight_id", dedupe=timedelta(hours=1))
flight_requests = Source(topic="flight_requests", schema="flight_request", lateness=timedelta(minutes=1), id="request_id")

origin = Entity(keys=["origin"])
carrier_origin = Entity(keys=["carrier", "origin"])
destination = Entity(keys=["dest"])
aircraft = Entity(keys=["tailnum"])
