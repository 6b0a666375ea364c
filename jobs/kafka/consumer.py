"""The messages of a topic, whoever asks: committed ones only, from where they are wanted, up to an end or for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault, silent
from schemas.errors import SettingError
from schemas.times import instant_ms
from schemas.wording import span

_ANSWER_S = 10.0
_POLL_S = 0.2
_SILENCE_S = 30.0


def messages(
    servers: str, topic: str, *, start: str | Mapping[int, int] = "beginning", most: int | None = None, follow: bool = False
) -> Iterator[Message]:
    """The messages of a topic, committed ones only, in order within each partition.

    Args:
        servers: Kafka's bootstrap servers.
        topic: Its name.
        start: `beginning`, `end`, or a time: from the first record with at least that record timestamp. Or partition → offset,
            and the beginning of every other partition.
        most: Stop after so many; until then new ones are waited for.
        follow: Wait for new ones for ever. With neither, stop at the end of every partition.

    Raises:
        ServiceError: The broker does not answer.
        SettingError: No such topic, or no such start.
    """
    since_ms = instant_ms(start) if isinstance(start, str) and start not in ("beginning", "end") else None
    consumer = committed.consumer(servers, f"tidemark-read-{uuid4()}", {"enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        places = _places(consumer, servers, topic, OFFSET_END if start == "end" else OFFSET_BEGINNING, since_ms)
        if not isinstance(start, str):
            places = [TopicPartition(topic, place.partition, start.get(place.partition, OFFSET_BEGINNING)) for place in places]
        consumer.assign(places)
        open_ends = {place.partition for place in places}
        count, heard = 0, time.monotonic()
        while (most is None or count < most) and (open_ends or follow or most is not None):
            for message in consumer.consume(1_000 if most is None else min(1_000, most - count), timeout=_POLL_S):
                heard = time.monotonic()
                error = message.error()
                if error is None:
                    count += 1
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition() or 0)
                else:
                    raise broker_fault(error, servers, f"topic {topic} cannot be read further")
            if open_ends and not follow and time.monotonic() - heard > _SILENCE_S:
                raise silent(servers, f"topic {topic} cannot be read further", _SILENCE_S)
    finally:
        consumer.close()


def _places(consumer: Consumer, servers: str, topic: str, offset: int, since_ms: int | None) -> list[TopicPartition]:
    """Where to begin in each partition."""
    try:
        known = consumer.list_topics(timeout=_ANSWER_S).topics
        if topic not in known:
            near = get_close_matches(topic, known, n=1)
            mine = sorted(name for name in known if not name.startswith("__"))
            raise SettingError(
                f"read: no topic {topic}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(mine) or 'none yet'}")
            )
        partitions = sorted(known[topic].partitions)
        if since_ms is None:
            return [TopicPartition(topic, partition, offset) for partition in partitions]
        return consumer.offsets_for_times([TopicPartition(topic, partition, since_ms) for partition in partitions], timeout=_ANSWER_S)
    except KafkaException as error:
        raise broker_fault(error, servers, f"no answer within {span(_ANSWER_S * 1000)}") from error
