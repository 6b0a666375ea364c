"""October at high speed: events up to a time, a wait until they can be read online, then the requests of that time.

DESIGN §3, Replay: event time runs ahead of the pipeline's own latency, so requests stay behind the frontier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.plan import ServicePlan, SourcePlan
from jobs.demo.faults import Fault, bad_records
from jobs.kafka.connection import Connection
from jobs.kafka.deliveries import Deliveries
from jobs.kafka.producer import Publisher
from schemas.schema import SchemaSet
from schemas.wire import Encoder

REQUESTS_PER_S = 400.0
REPEATED, HELD_BACK = 0.01, 0.005  # shares of the events
_FLUSH_S = 30.0

Position = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(kw_only=True)
class SentCounts:
    """What went in.

    Attributes:
        events: Well-formed records in event topics, repeats and late ones too.
        repeats: Events sent a second time.
        held_back: Events sent only after the watermark had passed them.
        bad: Where each bad record lies, and of which kind it is.
        asked_ns: Request id → when it was published, on this machine's monotonic clock.
    """

    events: int = 0
    repeats: int = 0
    held_back: int = 0
    bad: dict[Position, str] = field(default_factory=dict)
    asked_ns: dict[str, int] = field(default_factory=dict)


class Replay:
    """Publishes a service's sources and requests step by step; use `close` at the end."""

    def __init__(
        self,
        service: ServicePlan,
        *,
        kafka: Connection,
        schemas: SchemaSet,
        events: Mapping[str, pa.Table],
        requests: pa.Table,
        wait: Callable[[int], None],
        disorder: bool = False,
        seed: int = 2013,
    ) -> None:
        """Prepare producers; nothing is sent yet.

        Args:
            service: Whose sources and requests.
            kafka: Its connection; all topics must be there.
            schemas: Of the sources.
            events: Source name → its events in event-time order.
            requests: The requests in event-time order.
            wait: Returns when all tiles up to a time (ms) can be read online.
            disorder: Publish events out of order, each later than its turn by up to its source's lateness.
            seed: Picks which events are repeated or held back.
        """
        self.tally = SentCounts()
        self._service = service
        self._sources = {view.source.name: view.source for view in service.views}
        self._events = events
        self._requests = requests
        self._wait = wait
        self._disorder = disorder
        self._random = np.random.default_rng(seed)
        self._publishers = {
            source.name: Publisher(
                kafka,
                source.topic,
                schemas.current(source.schema),
                event_time=source.event_time,
                key=() if source.id is None else (source.id,),
            )
            for source in (*self._sources.values(), service.request)
        }
        self._encoders = {source.name: Encoder(schemas.current(source.schema)) for source in (*self._sources.values(), service.request)}
        self._late: dict[str, pa.Table] = {}
        self._bad = _BadProducer(kafka, self.tally)
        self._faults = list(self._all_faults(schemas))

    def warm_up(self, start_ms: int) -> int:
        """Publish the first bad records, which start every Python worker; returns how many."""
        first, self._faults = self._faults[: len(self._publishers)], self._faults[len(self._publishers) :]
        self._bad.send(first, timestamp_ms=start_ms)
        return len(first)

    def history(self, start_ms: int, end_ms: int) -> int:
        """Publish `[start, end)` of all sources as fast as it goes, with markers at the end; returns how many events."""
        before = self.tally.events
        for name, source in self._sources.items():
            table = _between(self._events[name], source.event_time, start_ms, end_ms)
            self._publish(source, table)
        self._mark(end_ms)
        return self.tally.events - before

    def step(self, start_ms: int, end_ms: int, *, steps_left: int) -> int:
        """Publish the events of `[start, end)` with faults among them, wait until they can be read, publish the requests; returns how many records."""
        before = self.tally.events + len(self.tally.asked_ns)
        self._bad.send(self._take_faults(steps_left), timestamp_ms=start_ms)
        for name, source in self._sources.items():
            table = _between(self._events[name], source.event_time, start_ms, end_ms)
            held = pa.array(self._random.random(len(table)) < HELD_BACK)
            self._send_late(source, now_ms=start_ms)
            self._late[name] = table.filter(held)
            self._publish(source, self._with_repeats(table.filter(pc.invert(held))))
        self._mark(end_ms)
        self._wait(end_ms)
        self._ask(self.requests_between(start_ms, end_ms))
        return self.tally.events + len(self.tally.asked_ns) - before

    def size(self, start_ms: int, end_ms: int) -> int:
        """How many records there are to publish in `[start, end)`, repeats aside."""
        events = sum(len(_between(self._events[name], source.event_time, start_ms, end_ms)) for name, source in self._sources.items())
        return events + len(self.requests_between(start_ms, end_ms))

    def requests_between(self, start_ms: int, end_ms: int) -> pa.Table:
        """The requests of `[start, end)`."""
        return _between(self._requests, self._service.request.event_time, start_ms, end_ms)

    def close(self, end_ms: int) -> None:
        """Publish what is still held back, and deliver everything."""
        for source in self._sources.values():
            self._send_late(source, now_ms=end_ms)
        for publisher in self._publishers.values():
            publisher.flush()

    def _publish(self, source: SourcePlan, table: pa.Table) -> None:
        if self._disorder:
            turn = table[source.event_time].cast(pa.int64()).to_numpy() + self._random.uniform(0, source.lateness_ms, len(table))
            table = table.take(np.argsort(turn))
        self.tally.events += self._publishers[source.name].publish(table) if len(table) else 0

    def _with_repeats(self, table: pa.Table) -> pa.Table:
        """Some rows twice, one right behind the other, as an impatient producer sends them."""
        again = self._random.random(len(table)) < REPEATED
        self.tally.repeats += int(again.sum())
        return table.take(np.repeat(np.arange(len(table)), 1 + again))

    def _send_late(self, source: SourcePlan, *, now_ms: int) -> None:
        """What the step before held back, with the record timestamps of now: the watermark has passed their tiles."""
        table = self._late.pop(source.name, None)
        if table is None or not len(table):
            return
        publisher = self._publishers[source.name]
        columns = _plain(table)
        for body, key in zip(self._encoders[source.name].batch(columns), columns[str(source.id)], strict=True):
            publisher.send(body, timestamp_ms=now_ms, key=key)
        self.tally.events += len(table)
        self.tally.held_back += len(table)

    def _mark(self, until_ms: int) -> None:
        """Move the watermark of every partition of every source to this time."""
        for source in self._sources.values():
            self._publishers[source.name].marker(until_ms + source.lateness_ms)
            self._publishers[source.name].flush()

    def _ask(self, requests: pa.Table) -> None:
        """Publish requests at an even pace, and note when each left."""
        request = self._service.request
        publisher = self._publishers[request.name]
        columns = _plain(requests)
        began = time.monotonic()
        asked = zip(self._encoders[request.name].batch(columns), columns[str(request.id)], columns[request.event_time], strict=True)
        for number, (body, identity, moment_ms) in enumerate(asked):
            early_s = began + number / REQUESTS_PER_S - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            self.tally.asked_ns[identity] = time.monotonic_ns()
            publisher.send(body, timestamp_ms=moment_ms, key=identity)
        publisher.flush()

    def _all_faults(self, schemas: SchemaSet) -> Iterator[tuple[str, Fault]]:
        """Every kind of bad record for every topic, taken in turns."""
        example = self._sources | {self._service.request.name: self._service.request}
        keys = {
            view.source.name: view.keys[0].name
            for view in self._service.views
            if not view.source.nullable & {key.name for key in view.keys}
        }
        kinds = []
        for name, source in example.items():
            table = self._requests if name == self._service.request.name else self._events[name]
            good = {column: values[0] for column, values in _plain(table.slice(0, 1)).items()}
            required = keys.get(name, str(source.id))
            kinds.append(
                [
                    (source.topic, fault)
                    for fault in bad_records(schemas.current(source.schema), good, event_time=source.event_time, required=required)
                ]
            )
        for turn in zip(*kinds, strict=True):
            yield from turn

    def _take_faults(self, steps_left: int) -> Sequence[tuple[str, Fault]]:
        """An even share of the bad records that are left; all of them in the last step."""
        count = -(-len(self._faults) // steps_left)
        taken, self._faults = self._faults[:count], self._faults[count:]
        return taken


class _BadProducer:
    """Sends bad records and notes where each came to lie."""

    def __init__(self, kafka: Connection, tally: SentCounts) -> None:
        self._deliveries = Deliveries(kafka)
        self._tally = tally

    def send(self, faults: Sequence[tuple[str, Fault]], *, timestamp_ms: int) -> None:
        """Deliver them. The timestamp says when they came, which moves no watermark that other records have not moved already."""
        for topic, fault in faults:

            def delivered(partition: int, offset: int, place: str = topic, kind: str = fault.kind) -> None:
                self._tally.bad[place, partition, offset] = kind

            self._deliveries.send(topic, fault.body, timestamp_ms=timestamp_ms, delivered=delivered)
        self._deliveries.wait("bad records could not be published", within_s=_FLUSH_S)


def _between(table: pa.Table, column: str, start_ms: int, end_ms: int) -> pa.Table:
    """The rows of `[start, end)` of a table in time order."""
    times = table[column].cast(pa.int64()).to_numpy()
    first, last = np.searchsorted(times, [start_ms, end_ms])
    return table.slice(int(first), int(last - first))


def _plain(table: pa.Table) -> dict[str, list[Any]]:
    """Python values, timestamps in ms."""
    return {
        name: (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
