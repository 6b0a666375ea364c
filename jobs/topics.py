"""Kafka topics from a job's side: created before it starts, and what the broker allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]  # not marked as exports

from schemas.errors import ServiceError

_ANSWER_S = 15.0


def create(servers: str, topics: Iterable[str], *, partitions: int, replication: int, config: Mapping[str, str] | None = None) -> None:
    """Create the topics that are not there; those that are stay as they are.

    Args:
        servers: Kafka's bootstrap servers.
        topics: Names.
        partitions: Of each new topic.
        replication: Of each new topic.
        config: Topic settings of each new topic.

    Raises:
        ServiceError: The broker does not answer or refuses.
    """
    admin = _admin(servers)
    wanted = [NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config or {})) for name in topics]
    for name, created in admin.create_topics(wanted, operation_timeout=_ANSWER_S, request_timeout=_ANSWER_S).items():
        try:
            created.result()
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ServiceError(f"kafka {servers}: topic {name} cannot be created: {fault.args[0].str()}") from fault


def broker_setting(servers: str, name: str) -> str:
    """The value of a setting of the broker, e.g. `transaction.max.timeout.ms`.

    Raises:
        ServiceError: The broker does not answer or does not tell.
    """
    admin = _admin(servers)
    broker = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics(timeout=_ANSWER_S).brokers))))
    answer = admin.describe_configs([broker], request_timeout=_ANSWER_S)[broker]
    try:
        return str(answer.result()[name].value)
    except (KafkaException, KeyError) as fault:
        raise ServiceError(f"kafka {servers}: the broker does not tell its {name}: {fault}") from fault


def _admin(servers: str) -> AdminClient:
    """A client of a broker that answers."""
    admin = AdminClient({"bootstrap.servers": servers, "socket.timeout.ms": 10_000, "log_level": 0})
    try:
        admin.list_topics(timeout=_ANSWER_S)
    except KafkaException as fault:
        advice = "is it running? See `tidemark status`, or set TIDEMARK_KAFKA"
        raise ServiceError(f"kafka {servers}: no answer within {_ANSWER_S:.0f} s ({fault.args[0].str()}); {advice}") from fault
    return admin
