"""Kafka topics from a job's side: created before it starts, and what the broker allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not marked as exports
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from features.compiler.declarations import did_you_mean
from features.compiler.plan import FRONTIER_TOPIC, Plan
from infra.settings import Settings
from jobs.broker_fault import broker_fault
from schemas.errors import ServiceError, SettingError
from schemas.wording import span

HEADERS_BYTES = 1 << 16
"""How much longer a dead letter may be than the record that it keeps."""

_ANSWER_S = 8.0
_UNBOUNDED_MS = str(2**63 - 1)
# History is published with its own times: Kafka would delete it within minutes, and refuse what lies ahead before the gate could say why.
_ANY_TIME = {"retention.ms": "-1", "message.timestamp.before.max.ms": _UNBOUNDED_MS, "message.timestamp.after.max.ms": _UNBOUNDED_MS}


def ensure(settings: Settings, plan: Plan) -> None:
    """Create every topic of a plan that is not there: sources, their dead letters and late events, tiles, frontier, predictions.

    Raises:
        ServiceError: The broker does not answer within 10 s, or refuses.
    """
    servers = settings.kafka_servers
    letters = _ANY_TIME | {"max.message.bytes": str(int(broker_setting(servers, "message.max.bytes")) + HEADERS_BYTES)}
    kept = {"retention.ms": str(-1 if settings.tiles_retention_ms is None else settings.tiles_retention_ms)}
    sources, views, services = plan.sources.values(), plan.views.values(), plan.services.values()
    late = [source.late_topic for source in sources if plan.views_of(source.name)]
    for topics, config in (
        ([source.topic for source in sources], _ANY_TIME),
        ([*(source.dead_letter_topic for source in sources), *late], letters),
        ([*(view.tiles_topic for view in views), FRONTIER_TOPIC], _ANY_TIME | kept),
        ([*(f"{topic}.dlq" for topic in (*(view.tiles_topic for view in views), FRONTIER_TOPIC))], letters),
        ([service.predictions_topic for service in services], _ANY_TIME),
    ):
        create(servers, topics, partitions=settings.partitions, replication=settings.replication, config=config)


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
    if not wanted:
        return
    for name, created in admin.create_topics(wanted, operation_timeout=_ANSWER_S, request_timeout=_ANSWER_S).items():
        try:
            created.result()
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise broker_fault(fault, servers, f"topic {name} cannot be created") from fault


def extents(servers: str, names: Iterable[str]) -> dict[str, dict[int, tuple[int, int]]]:
    """Where topics begin and end now.

    Returns:
        Topic → partition → `[first, end)`: the offsets of its records, up to where all transactions are decided.

    Raises:
        ServiceError: The broker does not answer or refuses.
        SettingError: There is no such topic.
    """
    admin = _admin(servers)
    known = admin.list_topics(timeout=_ANSWER_S).topics
    places = []
    for name in names:
        if name not in known:
            near = did_you_mean(name, [topic for topic in known if not topic.startswith("__")]) if known else "there are none"
            raise SettingError(f"kafka {servers}: no topic {name}; {near}")
        places += [TopicPartition(name, partition) for partition in sorted(known[name].partitions)]
    found: dict[str, dict[int, tuple[int, int]]] = {}
    try:
        firsts, ends = (
            admin.list_offsets(dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ANSWER_S)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        for place in places:
            extent = (int(firsts[place].result().offset), int(ends[place].result().offset))
            found.setdefault(place.topic, {})[place.partition] = extent
    except KafkaException as fault:
        raise broker_fault(fault, servers, "does not tell where its topics end") from fault
    return found


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
    except KeyError as fault:
        raise ServiceError(f"kafka {servers}: the broker has no setting {name}") from fault
    except KafkaException as fault:
        raise broker_fault(fault, servers, f"the broker does not tell its {name}") from fault


def _admin(servers: str) -> AdminClient:
    """A client of a broker that answers."""
    admin = AdminClient({"bootstrap.servers": servers, "socket.timeout.ms": int(_ANSWER_S * 1000), "log_level": 0})
    try:
        admin.list_topics(timeout=_ANSWER_S)
    except KafkaException as fault:
        raise broker_fault(fault, servers, f"no answer within {span(_ANSWER_S * 1000)}") from fault
    return admin
