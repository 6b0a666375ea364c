"""What the gate counts, without Flink around it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from features.catalog import load
from infra.settings import Settings
from jobs.flink.gate import Gate
from schemas.schema import SHIPPED, SchemaSet
from schemas.wire import Encoder, marker

RECORD = {
    "flight_id": "f1",
    "carrier": "UA",
    "flight": 1,
    "origin": "JFK",
    "dest": "LAX",
    "distance": 1.0,
    "sched_dep": 0,
    "dep_delay": 0.0,
}


class Metrics:
    """Stands for the context of the function and for its group of metrics: they are Flink's."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def get_metric_group(self) -> Metrics:
        return self

    def counter(self, name: str) -> Any:
        counts = self.counts

        class Counted:
            def inc(self, by: int) -> None:
                counts[name] += by

        return Counted()


def test_times_that_are_plausible_as_seconds_are_counted_and_pass() -> None:
    schemas = SchemaSet.load(SHIPPED)
    encoder = Encoder(schemas.current("departure"))
    times = [1_380_600_000, 1_380_600_000_000, 0, 1_380_600_001]
    bodies = [*(encoder.encode(RECORD | {"event_time": time}) for time in times), marker(1_380_600_000), b"x"]
    metrics = Metrics()
    gate = Gate(source=load(None, None).sources["departures"], schemas=schemas, settings=Settings(), clock=None)
    gate.open(metrics)
    for _ in range(2):
        gate.eval(pd.Series(bodies), pd.Series([0] * len(bodies)), pd.Series(range(len(bodies))))
    assert metrics.counts == {"messages": 12, "markers": 2, "dead_letters": 2, "suspected_seconds": 4}
