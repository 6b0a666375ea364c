"""Writes of tiles: a script for each entity, which reads, merges and writes at once."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any

from features.plan import ViewPlan
from features.tiles.compacted import Compacted
from inference.online.redis.connection import Client, Script, hmget_many
from inference.online.redis.layout import EntityKeys, account_prefix, cold_fields, packed_of, tiles_fields, value_of
from inference.online.store import Member, MergeRules, Stored, TileMerges

_SETTINGS = struct.Struct("<8s10q")
"""What `merge_tiles.lua` is told with each entity, in one argument: each takes redis-py and Lua some time."""


class RedisTileMerges(TileMerges):
    """Of one view in one generation."""

    def __init__(self, client: Client, view: ViewPlan, *, project: str, rules: MergeRules) -> None:
        """Prepare the constant parts."""
        self._client = client
        self._rules = rules
        self._tile_ms = view.tile_ms
        self._keys = EntityKeys(view.keys, project)
        self._merge, self._replace = Script("packed_tiles", "merge_tiles"), Script("packed_tiles", "replace_value")
        self._fields = (*tiles_fields(view), *cold_fields(view))
        self._account = account_prefix(project, view.name) if rules.forgets else ""

    def members(self, entities: Sequence[tuple[Any, ...]]) -> list[Member]:
        """Their keys."""
        return self._keys.of_all(entities)

    def merge(self, records: Mapping[Member, bytes], *, held_from: int) -> list[Member]:
        """Run `merge_tiles.lua` for each, in one round trip."""
        rules = self._rules
        retire = (rules.retire_at, rules.held, held_from) if rules.retire_at else (0, 0, 0)
        cold = (rules.together_ms, rules.cold_step_ms)
        settings = _SETTINGS.pack(
            rules.layout, self._tile_ms, rules.retention_ms, rules.ttl_ms or 0, *cold, *retire, rules.level_ms, int(rules.forgets)
        )
        alike = (*self._fields, settings)
        replies = self._merge.run(self._client, [([key], [*alike, data, self._account]) for key, data in records.items()])
        return [key for key, due in zip(records, replies, strict=True) if due]

    def stored(self, members: Sequence[Member]) -> list[Stored | None]:
        """An HMGET for each."""
        (answers,) = hmget_many(self._client, [(members, [self._fields[0]])])
        return [Stored(packed=packed_of(value) or b"", version=value) if value else None for (value,) in answers]

    def replace(self, values: Sequence[tuple[Member, Stored, Compacted]]) -> list[bool]:
        """Run `replace_value.lua` for each, in one round trip."""
        calls = []
        for key, old, new in values:
            version = sha1(old.version, usedforsecurity=False).hexdigest()
            cold = [] if new.cold is None else [new.cold, new.cold_from_ms, int(new.drops)]
            calls.append(([key], [*self._fields, version, value_of(new.value), *cold]))
        return list(map(bool, self._replace.run(self._client, calls)))
