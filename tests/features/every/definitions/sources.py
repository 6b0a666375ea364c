"""What the tests' definitions stand on."""

from __future__ import annotations

from datetime import timedelta

from features import Entity, Source

minute, hour = timedelta(minutes=1), timedelta(hours=1)

events = Source(topic="events", schema="event", lateness=timedelta(seconds=30), id="id", dedupe=hour)
requests = Source(topic="requests", schema="request", id="request_id")

user = Entity(keys=["user"])
user_shop = Entity(keys=["user", "shop"])
