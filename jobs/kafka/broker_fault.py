"""What Kafka said, as one of our errors: whether nobody answers, what it forbids, which record it refuses. Every fault of a broker is told here."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from jobs.kafka.connection import Connection
from jobs.kafka.error_text import error_text
from schemas.errors import DataError, ServiceError
from schemas.times import show_ms
from schemas.wording import span

_ASK_S = 1.0

_HOW = re.compile(r"^\w+://\S+: | \(after \d+ms in state \w+\)")  # of a connection, around why it was refused

UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._FAIL,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
    }
)
"""No answer came: after these alone it is asked whether the broker runs, and only where nothing takes connections."""

_FORBIDDEN = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_UNTRUSTED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.SECURITY_DISABLED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)
_MISSING = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
_NOT_NOW = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
_FEW_REPLICAS = frozenset({KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND})
_DISK = frozenset({KafkaError.KAFKA_STORAGE_ERROR, KafkaError.LOG_DIR_NOT_FOUND})

_SIZES = "message.max.bytes of the broker, max.message.bytes of the topic"
_OF_A_RECORD = {
    KafkaError._BAD_MSG: "",
    KafkaError.INVALID_MSG: "",
    KafkaError.INVALID_MSG_SIZE: _SIZES,
    KafkaError.INVALID_RECORD: "a compacted topic takes no record without a key",
    KafkaError.INVALID_TIMESTAMP: "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic",
    KafkaError.MSG_SIZE_TOO_LARGE: _SIZES,
    KafkaError.POLICY_VIOLATION: "",
    KafkaError.RECORD_LIST_TOO_LARGE: _SIZES,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE: "compression.type of the topic",
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT: "",
}
"""Codes that are about one record → the settings that decide it."""

FOLLOWS = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    }
)
"""What befalls the records beside one that failed: another tells the cause."""


def broker_fault(fault: KafkaException | KafkaError, kafka: Connection, what: str) -> ServiceError:
    """What to raise for a fault.

    Args:
        fault: Of a client of Kafka's.
        kafka: Its connection.
        what: What did not come to be, e.g. `topic clicks cannot be created`.
    """
    return ServiceError(f"kafka {kafka.servers}: {what}: {_reason(_error(fault), kafka)}")


@contextmanager
def telling(kafka: Connection, what: str) -> Iterator[None]:
    """Raises `broker_fault` for what a client raises in the block."""
    try:
        yield
    except KafkaException as fault:
        raise broker_fault(fault, kafka, what) from fault


def silent(kafka: Connection, what: str, within_s: float) -> ServiceError:
    """What to raise where a broker has said nothing for so long; arguments as of `broker_fault`."""
    return ServiceError(f"kafka {kafka.servers}: {what}: {_unreachable(kafka, f'no answer within {span(within_s * 1000)}')}")


def record_fault(fault: KafkaException | KafkaError, kafka: Connection, topic: str, record: str, what: str) -> DataError | ServiceError:
    """What to raise for a record that was not delivered: a DataError where the record is refused for what it is.

    Args:
        fault: Of its delivery.
        kafka: Its connection.
        topic: Where it was to go.
        record: Which, as of `described`.
        what: What did not come to be, where the record is not to blame.
    """
    error = _error(fault)
    if error.code() not in _OF_A_RECORD:
        return broker_fault(error, kafka, what)
    decided = _OF_A_RECORD[error.code()]
    return DataError(f"topic {topic}: the broker does not take {record}: {error_text(error)}{f' ({decided})' if decided else ''}")


def described(*, key: str | bytes | None, timestamp_ms: int, size: int) -> str:
    """A record, as a message names it."""
    named = key.decode(errors="backslashreplace") if isinstance(key, bytes) else key
    return f"the record {'without a key' if named is None else f'of key {named}'}, time {show_ms(timestamp_ms)}, {size:,} bytes"


def _error(fault: KafkaException | KafkaError) -> KafkaError:
    found: KafkaError = fault if isinstance(fault, KafkaError) else fault.args[0]
    return found


def _reason(error: KafkaError, kafka: Connection) -> str:
    code, said = error.code(), error_text(error)
    if code in UNREACHABLE:
        return _unreachable(kafka, said)
    if code in _FORBIDDEN:
        return f"{said}; the broker's ACLs forbid it to this client"
    if code in _UNTRUSTED:
        return _untrusted(said)
    if code in _MISSING:
        return f"the broker does not have it ({said})"
    if code in _NOT_NOW:
        return f"the broker answers, but cannot do it now ({said}); try again, and look into its log if it stays so"
    if code in _FEW_REPLICAS:
        return f"{said}; fewer are in sync than min.insync.replicas asks for"
    if code in _DISK:
        return f"{said}; see the broker's log and its disk"
    return f"refused: {said}"


def _untrusted(said: str) -> str:
    return f"{said}; the broker and this client do not agree on TLS, or on who this client is: see TIDEMARK_KAFKA_SECURITY_PROTOCOL and what it needs"


def _unreachable(kafka: Connection, said: str) -> str:
    if takes_connections(kafka.servers):
        # A request tells only that it was waited for: why a connection was refused is told apart from it.
        if (refused := kafka.refusal(_UNTRUSTED)) is not None:
            return _untrusted(_HOW.sub("", error_text(refused)))
        return f"{said}; it takes connections, so it is busy, hangs, or wants TLS or SASL (TIDEMARK_KAFKA_SECURITY_PROTOCOL): see its log"
    return f"{said}; is it running? See `tidemark status`, or set TIDEMARK_KAFKA"


def takes_connections(servers: str) -> bool:
    """Whether anything listens at one of the bootstrap servers."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_ASK_S):
                return True
        except (OSError, ValueError):
            continue
    return False
