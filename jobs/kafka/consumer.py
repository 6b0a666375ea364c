"""The messages of a topic, whoever asks: committed ones only, from where they are wanted, up to an end or for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from jobs.kafka.broker_fault import telling
from jobs.kafka.committed import Place
from jobs.kafka.connection import Connection
from jobs.kafka.reader import BEGINNING, END, Message, Reader
from schemas.errors import SettingError
from schemas.times import instant_ms
from schemas.wording import span

_ANSWER_S = 10.0
_POLL_S = 0.2
_BATCH = 1_000


def messages(
    kafka: Connection, topic: str, *, start: str | Mapping[int, int] = "beginning", most: int | None = None, follow: bool = False
) -> Iterator[Message]:
    """The messages of a topic, committed ones only, in order within each partition.

    Args:
        kafka: Its connection.
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
    with Reader(kafka, kafka.consumer(f"tidemark-read-{uuid4()}", tells_ends=True)) as reader:
        places = _places(reader.consumer, kafka, topic, END if start == "end" else BEGINNING, since_ms)
        if not isinstance(start, str):
            places = {place: start.get(place[1], BEGINNING) for place in places}
        reader.assign(places)
        unread, count = set(places), 0
        while (most is None or count < most) and (unread or follow or most is not None):
            room = _BATCH if most is None else min(_BATCH, most - count)
            waits = bool(unread) and not follow
            polled = reader.poll_or_tell(room, timeout_s=_POLL_S, what=f"topic {topic} cannot be read further", waits=waits)
            count += len(polled.messages)
            yield from polled.messages
            unread -= polled.ends.keys()


def _places(consumer: Consumer, kafka: Connection, topic: str, offset: int, since_ms: int | None) -> dict[Place, int]:
    """Where to begin in each partition."""
    with telling(kafka, f"no answer within {span(_ANSWER_S * 1000)}"):
        known = consumer.list_topics(timeout=_ANSWER_S).topics
        if topic not in known:
            near = get_close_matches(topic, known, n=1)
            mine = sorted(name for name in known if not name.startswith("__"))
            raise SettingError(
                f"read: no topic {topic}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(mine) or 'none yet'}")
            )
        partitions = sorted(known[topic].partitions)
        if since_ms is None:
            return {(topic, partition): offset for partition in partitions}
        found = consumer.offsets_for_times([TopicPartition(topic, partition, since_ms) for partition in partitions], timeout=_ANSWER_S)
        return {(topic, place.partition): place.offset for place in found}
