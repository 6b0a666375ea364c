"""The verbs of an online store, in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from features.plan import ViewPlan
from inference.online.cold_tiles import ViewTiles
from inference.online.redis import generation_keys, losses
from inference.online.redis.connection import Client, Script, answering, hmget_many
from inference.online.redis.frontiers import RedisFrontiers
from inference.online.redis.layout import ACTIVE_FIELD, ACTIVE_KEY, all_fields, key_values, member_key, view_tiles
from inference.online.redis.tile_merges import RedisTileMerges
from inference.online.redis.tile_reads import RedisTileReads
from inference.online.store import Entity, MergeRules, OnlineStore


class RedisStore(OnlineStore):
    """A Redis or Valkey of one primary. An `Entity` is the part of a key that names it, a `Member` the whole key."""

    def __init__(self, client: Client) -> None:
        """Name the server by a client, as `inference.online.redis.connection.connect` makes it."""
        self.client = client

    def active(self) -> bytes | None:
        """The record of what is served; None before the first."""
        with answering(self.client):
            key: Any = ACTIVE_KEY  # bytes, which redis-py takes and its annotations deny
            field: Any = ACTIVE_FIELD
            record: Any = self.client.hget(key, field)
        return None if record is None else bytes(record)

    def serve(self, record: bytes, number: int) -> bool:
        """Put a record in force unless one of the same or a higher number is."""
        (set_now,) = Script("serve").run(self.client, [([ACTIVE_KEY], [ACTIVE_FIELD, record, number])])
        return bool(set_now)

    def tile_reads(self, groups: Sequence[Sequence[ViewPlan]]) -> RedisTileReads:
        """An HMGET for each entity."""
        return RedisTileReads(self.client, groups)

    def tile_merges(self, view: ViewPlan, *, project: str, rules: MergeRules) -> RedisTileMerges:
        """A script for each entity."""
        return RedisTileMerges(self.client, view, project=project, rules=rules)

    def frontiers(self, *, project: str = "tidemark") -> RedisFrontiers:
        """In scripts and hashes of the generation."""
        return RedisFrontiers(self.client, project=project)

    def entities(self, project: str) -> Iterator[list[Entity]]:
        """By SCAN."""
        return generation_keys.entities(self.client, project)

    def key_values(self, entity: Entity) -> dict[str, str | int]:
        """Join key → value."""
        return key_values(entity)

    def holds(self, project: str, entities: Sequence[Entity]) -> list[bool]:
        """Which keys are there."""
        with answering(self.client):
            pipeline = self.client.pipeline(transaction=False)
            for entity in entities:
                key: Any = member_key(entity, project)
                pipeline.exists(key)
            return list(map(bool, pipeline.execute()))

    def all_tiles(self, projects: Sequence[str], entities: Sequence[Entity], views: Sequence[ViewPlan]) -> list[list[ViewTiles]]:
        """An HMGET for each entity and generation."""
        fields = all_fields(views)
        replies = hmget_many(self.client, [([member_key(entity, project) for entity in entities], fields) for project in projects])
        return [view_tiles(len(views), each, cold=True) for each in replies]

    def remove(self, project: str, *, removed: Callable[[int], None] = lambda _: None) -> int:
        """Remove all keys of a generation, Feast's and the frontiers' accounts; not those of another Feast project."""
        return generation_keys.remove(self.client, project, removed=removed)

    def remove_view(self, project: str, view: str) -> int:
        """Remove the fields of a view."""
        return generation_keys.remove_view(self.client, project, view)

    def evicts(self) -> str | None:
        """By `maxmemory-policy`."""
        return losses.evicts(self.client)

    def forgets(self) -> str | None:
        """By `appendonly` and `save`."""
        return losses.forgets(self.client)

    def clear(self) -> None:
        """FLUSHDB."""
        with answering(self.client):
            self.client.flushdb()

    def server_version(self) -> str:
        """Valkey's own, or Redis's."""
        with answering(self.client):
            server: Any = self.client.info("server")
        return str(server.get("valkey_version", server.get("redis_version", "unknown")))
