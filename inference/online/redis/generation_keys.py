"""The keys of a generation of the store: found and removed a bounded batch at a time, while others are written and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from features.compiler.feast import FRONTIER, OLDER, SINCE, TILES
from features.plan import tiles_topic
from inference.online.redis.connection import Client, answering
from inference.online.redis.layout import ACTIVE_KEY, account_prefix, hash_fields, member_key, serving_field, split_key

_SCANNED = 2_000  # keys that the server looks at for one answer
_REMOVED = 500  # keys in one UNLINK, which frees them in the background


def entities(client: Client, project: str) -> Iterator[list[bytes]]:
    """The entity parts of a generation's keys, some at a time; one that is there throughout comes at least once.

    Raises:
        ServiceError: The store does not answer.
    """
    for keys in _scan(client, f"*{project}"):
        split = (split_key(key) for key in keys)
        yield [found[0] for found in split if found is not None and found[1] == project]


def remove(client: Client, project: str, *, removed: Callable[[int], None] = lambda _: None) -> int:
    """Remove all keys of a generation, Feast's and the frontiers' accounts; nothing else, not even of another Feast project.

    Args:
        client: From `connect`.
        project: Feast's project.
        removed: Told how many were removed, batch by batch.

    Returns:
        How many keys there were.

    Raises:
        ServiceError: The store does not answer; what is left is removed by doing it again.
    """
    count = 0
    for batch in entities(client, project):
        count += _unlink(client, [member_key(entity, project) for entity in batch], removed)
    for keys in _scan(client, f"tidemark:{project}:*"):
        count += _unlink(client, keys, removed)
    with answering(client):
        key: Any = ACTIVE_KEY
        field: Any = serving_field(project)
        client.hdel(key, field)
    return count


def remove_view(client: Client, project: str, view: str) -> int:
    """Remove what a generation has of one view, its frontier included; returns how many keys had something of it.

    Raises:
        ServiceError: The store does not answer; what is left is removed by doing it again.
    """
    fields: list[Any] = [field for name in (TILES, OLDER, SINCE, FRONTIER) for field in hash_fields(name.format(view=view))]
    fields.append(b"ms:" + fields[-1])  # of the frontier, as `marks.lua` compares it
    count = 0
    for batch in entities(client, project):
        with answering(client):
            pipeline = client.pipeline(transaction=False)
            for entity in batch:
                key: Any = member_key(entity, project)
                pipeline.hdel(key, *fields)
            count += sum(map(bool, pipeline.execute()))
    for keys in _scan(client, f"{account_prefix(project, view)}*"):
        _unlink(client, keys, lambda _: None)
    _forget_marks(client, project, view)
    return count


def _forget_marks(client: Client, project: str, view: str) -> None:
    """What the store knows of a view and of its tiles topic, which are no more: a new topic of that name begins with offset 0 again."""
    marks, topic = f"tidemark:{project}:marks", tiles_topic(view)
    with answering(client):
        names: Any = client.hkeys(marks)
        gone = [
            name for name in names if name.partition(b":")[2].decode() == view or name.partition(b":")[2].startswith(f"{topic}/".encode())
        ]
        if gone:
            client.hdel(marks, *gone)
            client.hincrby(marks, "suspects", -sum(name.startswith(b"suspect:") for name in gone))


def _unlink(client: Client, keys: list[bytes], removed: Callable[[int], None]) -> int:
    count = 0
    for first in range(0, len(keys), _REMOVED):
        batch: list[Any] = keys[first : first + _REMOVED]
        with answering(client):
            number: Any = client.unlink(*batch)
        removed(number)
        count += number
    return count


def _scan(client: Client, pattern: str) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        with answering(client):
            answer: Any = client.scan(cursor, match=pattern, count=_SCANNED)
        cursor, keys = answer
        if keys:
            yield keys
        if cursor == 0:
            return
