# a: earliest_event_time must be a datetime with a time zone, e.g. datetime(2013, 1, 1, tzinfo=UTC), got datetime.datetime(2013, 1, 1, 0, 0) ({file})
# b: earliest_event_time must be a datetime with a time zone, e.g. datetime(2013, 1, 1, tzinfo=UTC), got '2013' ({file})
# c: earliest_event_time 2013-01-01 00:00:00.000001+00:00 is not whole milliseconds ({file})
# d: envelope must be one of connect, debezium, got 'avro' ({file})
# e: envelope= is of records that the gate decodes; a trusted source holds those of its schema alone ({file})
from __future__ import annotations

from datetime import UTC, datetime

from features import Count, FeatureView, Source

from .sources import events, hour, minute, user

a = Source(topic="a", schema="event", earliest_event_time=datetime(2013, 1, 1))
b = Source(topic="b", schema="event", earliest_event_time="2013")
c = Source(topic="c", schema="event", earliest_event_time=datetime(2013, 1, 1, microsecond=1, tzinfo=UTC))
d = Source(topic="d", schema="event", envelope="avro")
e = Source(topic="e", schema="event", envelope="debezium", trusted=True)
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
