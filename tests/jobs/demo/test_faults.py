"""Every bad record of the demo is refused by the real gate, for a reason of its own kind."""

from __future__ import annotations

from pathlib import Path

import pytest

import schemas as package
from jobs.demo.faults import bad_records
from schemas.schema import SchemaSet
from schemas.wire import BAD, OK, Decoder, encode

DAY_MS = 1_380_585_600_000
DEPARTURE = {
    "flight_id": "2013-10-01-UA-1-EWR-0800",
    "event_time": DAY_MS,
    "carrier": "UA",
    "flight": 1,
    "tailnum": "N1",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400.0,
    "sched_dep": DAY_MS,
    "dep_delay": -3.0,
}
REASONS = {
    "empty message": "empty:",
    "tombstone": "tombstone:",
    "neither Avro nor JSON": "unknown-format:",
    "unknown schema id": "unknown-schema:",
    "unknown fingerprint": "unknown-fingerprint:",
    "truncated Avro": "truncated:",
    "truncated Avro header": "truncated:",
    "over-long Avro": "over-long:",
    "broken JSON": "not-json:",
    "JSON array": "not-json:",
    "wrong type in JSON": "wrong-type:",
    "missing field": "missing:",
    "missing key": "wrong-type:",
    "not a number": "non-finite:",
    "infinity": "non-finite:",
    "year 2100": "future:",
    "2 MB message": "too-large:",
}


@pytest.fixture(scope="module")
def schema_set() -> SchemaSet:
    return SchemaSet.load(Path(package.__file__).parent)


def test_the_gate_refuses_each_and_accepts_the_record_it_was_made_from(schema_set: SchemaSet) -> None:
    schema = schema_set.current("departure")
    faults = list(bad_records(schema, DEPARTURE, event_time="event_time", required="origin"))
    gate = Decoder(schema_set, "departure", event_time="event_time", required=("origin",), max_ahead_ms=300_000)
    decoded = gate.decode([*(fault.body for fault in faults), encode(schema, DEPARTURE)])
    assert decoded.kind.tolist() == [BAD] * len(faults) + [OK]
    got = {fault.kind: reason for fault, reason in zip(faults, decoded.reasons, strict=False)}
    assert got.keys() == REASONS.keys()
    assert {kind for kind, reason in got.items() if not str(reason).startswith(REASONS[kind])} == set()
