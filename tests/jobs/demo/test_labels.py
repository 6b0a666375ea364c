"""What happened to the demo's requests."""

from __future__ import annotations

import pyarrow as pa

from features.catalog import load
from jobs.demo.labels import happened, latencies_ms


def test_what_happened_is_null_for_a_flight_that_never_arrived() -> None:
    service = load(None, None).services["flight_delay"]
    assert service.label is not None
    events = pa.table({"flight_id": ["x", "y"], "arr_delay": [16.0, 15.0]})
    assert happened(service.label, events, pa.chunked_array([["y", "z", "x"]])) == [False, None, True]


def test_latency_counts_the_first_answer_and_no_unanswered_request() -> None:
    measured = latencies_ms({"a": 1_000_000, "b": 0, "c": 0}, [("a", 3_000_000), ("a", 9_000_000), ("b", 500_000)])
    assert measured.tolist() == [2.0, 0.5]
