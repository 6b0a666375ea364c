"""Kafka topics from a job's side: created before it starts, and what the broker allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not marked as exports
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from features.compiler.declarations import did_you_mean
from features.plan import FRONTIER_TOPIC, Plan
from infra.settings import Settings
from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault, telling
from jobs.kafka.committed import End, Place
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError, SettingError
from schemas.wording import span

HEADERS_BYTES = 1 << 16
"""How much longer a dead letter may be than the record that it keeps."""

_ANSWER_S = 8.0
_ENDS = "does not tell where its topics end"
_UNBOUNDED_MS = str(2**63 - 1)
# History is published with its own times: Kafka would delete it within minutes, and refuse what lies ahead before the gate could say why.
_ANY_TIME = {"retention.ms": "-1", "message.timestamp.before.max.ms": _UNBOUNDED_MS, "message.timestamp.after.max.ms": _UNBOUNDED_MS}
# By default a segment ends after seven days of record time: ten years of history would be 520 of them, each with its own open files, in each partition.
_KEPT = {"segment.ms": _UNBOUNDED_MS}


def ensure(settings: Settings, plan: Plan) -> None:
    """Create every topic of a plan that is not there: sources, their dead letters and late events, tiles, frontier, predictions.

    Raises:
        ServiceError: The broker does not answer within 10 s, or refuses.
    """
    kafka = Connection.of(settings)
    letters = _ANY_TIME | {"max.message.bytes": str(int(broker_setting(kafka, "message.max.bytes")) + HEADERS_BYTES)}
    kept = _KEPT if settings.tiles_retention_ms is None else {"retention.ms": str(settings.tiles_retention_ms)}
    sources, views, services = plan.sources.values(), plan.views.values(), plan.services.values()
    late = [source.late_topic for source in sources if plan.views_of(source.name)]
    for topics, config in (
        ([source.topic for source in sources], _ANY_TIME | _KEPT),
        ([*(source.dead_letter_topic for source in sources), *late], letters),
        ([*(view.tiles_topic for view in views), FRONTIER_TOPIC], _ANY_TIME | kept),
        ([*(f"{topic}.dlq" for topic in (*(view.tiles_topic for view in views), FRONTIER_TOPIC))], letters),
        ([service.predictions_topic for service in services], _ANY_TIME | _KEPT),
    ):
        create(kafka, topics, partitions=settings.partitions, replication=settings.replication, config=config)


def create(kafka: Connection, topics: Iterable[str], *, partitions: int, replication: int, config: Mapping[str, str] | None = None) -> None:
    """Create the topics that are not there; those that are stay as they are.

    Args:
        kafka: Its connection.
        topics: Names.
        partitions: Of each new topic.
        replication: Of each new topic.
        config: Topic settings of each new topic.

    Raises:
        ServiceError: The broker does not answer or refuses.
    """
    admin = _admin(kafka)
    wanted = [NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config or {})) for name in topics]
    if not wanted:
        return
    for name, created in admin.create_topics(wanted, operation_timeout=_ANSWER_S, request_timeout=_ANSWER_S).items():
        try:
            created.result()
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise broker_fault(fault, kafka, f"topic {name} cannot be created") from fault


def topics(kafka: Connection) -> frozenset[str]:
    """The names of all topics but Kafka's own. Raises ServiceError when the broker does not answer."""
    return frozenset(name for name in _admin(kafka).list_topics(timeout=_ANSWER_S).topics if not name.startswith("__"))


def delete(kafka: Connection, topics: Iterable[str]) -> None:
    """Delete those of the topics that are there. Raises ServiceError when the broker does not answer or refuses."""
    admin, wanted = _admin(kafka), list(topics)
    if not wanted:
        return
    for name, deleted in admin.delete_topics(wanted, operation_timeout=_ANSWER_S, request_timeout=_ANSWER_S).items():
        try:
            deleted.result()
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise broker_fault(fault, kafka, f"topic {name} cannot be deleted") from fault


def extents(kafka: Connection, names: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
    """Where topics begin and end now.

    Returns:
        Topic → partition → `[first, end)`: the offsets of its records, up to where all transactions are decided.

    Raises:
        ServiceError: The broker does not answer or refuses.
        SettingError: There is no such topic.
    """
    admin = _admin(kafka)
    known = admin.list_topics(timeout=_ANSWER_S).topics
    for name in names:
        if name not in known:
            near = did_you_mean(name, [topic for topic in known if not topic.startswith("__")]) if known else "there are none"
            raise SettingError(f"kafka {kafka.servers}: no topic {name}; {near}")
    places = [(name, partition) for name in names for partition in sorted(known[name].partitions)]
    found: dict[str, dict[int, tuple[int, int]]] = {}
    with telling(kafka, _ENDS):
        firsts, ends = committed.firsts(admin, places, timeout_s=_ANSWER_S), committed.ends(admin, places, timeout_s=_ANSWER_S)
    for topic, partition in places:
        found.setdefault(topic, {})[partition] = firsts[topic, partition], ends[topic, partition].decided
    return found


def undecided(kafka: Connection, names: Iterable[str]) -> dict[Place, End]:
    """The partitions with records that no reader is given yet, because a transaction is open; of topics that are not there none.

    Raises:
        ServiceError: The broker does not answer or refuses.
    """
    admin = _admin(kafka)
    known = admin.list_topics(timeout=_ANSWER_S).topics
    places = [(name, partition) for name in sorted(set(names) & known.keys()) for partition in sorted(known[name].partitions)]
    with telling(kafka, _ENDS):
        return {place: end for place, end in committed.ends(admin, places, timeout_s=_ANSWER_S).items() if end.undecided}


def written(kafka: Connection, names: Iterable[str]) -> set[str]:
    """Those of these topics that have ever had a record, gone by now or not; one that is not there has had none. Raises ServiceError as `extents`."""
    wanted = set(names)
    if not wanted:
        return set()
    there = wanted & _admin(kafka).list_topics(timeout=_ANSWER_S).topics.keys()
    return {name for name, ends in extents(kafka, sorted(there)).items() if any(end > 0 for _, end in ends.values())}


def broker_setting(kafka: Connection, name: str) -> str:
    """The value of a setting of the broker, e.g. `transaction.max.timeout.ms`.

    Raises:
        ServiceError: The broker does not answer or does not tell.
    """
    admin = _admin(kafka)
    broker = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics(timeout=_ANSWER_S).brokers))))
    answer = admin.describe_configs([broker], request_timeout=_ANSWER_S)[broker]
    try:
        return str(answer.result()[name].value)
    except KeyError as fault:
        raise ServiceError(f"kafka {kafka.servers}: the broker has no setting {name}") from fault
    except KafkaException as fault:
        raise broker_fault(fault, kafka, f"the broker does not tell its {name}") from fault


def _admin(kafka: Connection) -> AdminClient:
    """A client of a broker that answers."""
    admin = kafka.admin(_ANSWER_S)
    with telling(kafka, f"no answer within {span(_ANSWER_S * 1000)}"):
        admin.list_topics(timeout=_ANSWER_S)
    return admin
