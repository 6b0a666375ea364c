"""Every code of Kafka's is told as what it is; that a broker does not run is asked only where nothing listens."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from jobs.kafka.broker_fault import broker_fault, described, record_fault, silent
from jobs.kafka.connection import Connection
from schemas.errors import DataError, ServiceError

CODES = {name: code for name in dir(KafkaError) if name.isupper() and isinstance(code := getattr(KafkaError, name), int)}
NO_ANSWER = {
    "_ALL_BROKERS_DOWN",
    "_FAIL",
    "_MSG_TIMED_OUT",
    "_RESOLVE",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_TRANSPORT",
    "_WAIT_COORD",
    "BROKER_NOT_AVAILABLE",
    "NETWORK_EXCEPTION",
}
ABOUT_A_RECORD = {
    "INVALID_RECORD",
    "INVALID_TIMESTAMP",
    "MSG_SIZE_TOO_LARGE",
    "INVALID_MSG_SIZE",
    "RECORD_LIST_TOO_LARGE",
    "POLICY_VIOLATION",
}
RECORD = described(key="f1", timestamp_ms=1_380_600_000_000, size=1_234)


@pytest.fixture
def closed() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def listening() -> Iterator[str]:
    """Something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("name", CODES)
def test_only_of_a_broker_that_did_not_answer_is_it_asked_whether_it_runs(name: str, closed: str) -> None:
    told = str(broker_fault(KafkaException(KafkaError(CODES[name])), Connection(servers=closed), "topic t cannot be created"))
    assert told.startswith(f"kafka {closed}: topic t cannot be created: ")
    assert ("is it running?" in told) == (name in NO_ANSWER)
    assert "\n" not in told and "Broker: " not in told and "Local: " not in told
    assert ("ACLs" in told) == name.endswith("AUTHORIZATION_FAILED")
    assert KafkaError(CODES[name]).str().removeprefix("Broker: ").removeprefix("Local: ").removesuffix(".") in told


@pytest.mark.parametrize("name", sorted(NO_ANSWER))
def test_a_broker_that_takes_connections_is_not_asked_after(
    name: str, listening: str, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.kafka.connection._REFUSAL_S", 0.1)  # only to wait less
    told = str(broker_fault(KafkaError(CODES[name]), Connection(servers=f"{closed},{listening}"), "no answer"))
    assert "is it running" not in told and "it takes connections" in told


def test_why_it_wants_nothing_of_this_client_is_told_where_a_request_only_waited(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = "sasl_ssl://b:1/bootstrap: SASL authentication error: invalid credentials (after 318ms in state AUTH_REQ)"
    monkeypatch.setattr(Connection, "refusal", lambda *_: KafkaError(KafkaError._AUTHENTICATION, heard))
    assert str(broker_fault(KafkaError(KafkaError._TRANSPORT), Connection(servers=listening), "no answer within 8 s")) == (
        f"kafka {listening}: no answer within 8 s: SASL authentication error: invalid credentials; the broker and this client do not agree on TLS, "
        "or on who this client is: see TIDEMARK_KAFKA_SECURITY_PROTOCOL and what it needs"
    )


def test_the_brokers_own_reason_is_told() -> None:
    error = KafkaError(KafkaError.POLICY_VIOLATION, "Topics of team a begin with a. Ask the platform team")
    assert str(broker_fault(error, Connection(servers="b:9092"), "topic t cannot be created")) == (
        "kafka b:9092: topic t cannot be created: refused: Topics of team a begin with a"
    )


@pytest.mark.parametrize("name", CODES)
def test_a_refused_record_is_the_records_fault_and_named(name: str, closed: str) -> None:
    told = record_fault(KafkaError(CODES[name]), Connection(servers=closed), "t", RECORD, "records for topic t were not delivered")
    if name in ABOUT_A_RECORD:
        assert isinstance(told, DataError)
        assert str(told).startswith("topic t: the broker does not take the record of key f1, time 2013-10-01T04:00:00.000Z, 1,234 bytes: ")
    assert ("is it running?" in str(told)) == (name in NO_ANSWER)


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (KafkaError.INVALID_TIMESTAMP, "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "message.max.bytes of the broker, max.message.bytes of the topic"),
    ],
)
def test_the_settings_that_refuse_it_are_named(code: int, settings: str) -> None:
    assert str(record_fault(KafkaError(code), Connection(servers="b:1"), "t", RECORD, "")).endswith(f"({settings})")


def test_silence_is_told_with_its_length(closed: str) -> None:
    told = str(silent(Connection(servers=closed), "topic t cannot be read further", 90.0))
    assert re.fullmatch(rf"kafka {closed}: topic t cannot be read further: no answer within 1 min 30 s; is it running\? .*", told)
    assert isinstance(silent(Connection(servers=closed), "", 1.0), ServiceError)
