"""Writes of tiles: a script that takes some entities at a time, and reads, merges and writes each at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from typing import Any

from features.plan import ViewPlan
from features.tiles.compacted import Compacted
from inference.online.redis.connection import Client, Script, hmget_many
from inference.online.redis.layout import EntityKeys, account_prefix, cold_fields, packed_of, tiles_fields, value_of
from inference.online.store import Member, MergeRules, Stored, TileMerges

_SETTINGS = struct.Struct("<8s10q")
"""What `merge_tiles.lua` is told, in one argument: each takes redis-py and Lua some time."""
_TOGETHER, _BYTES = 32, 256 << 10
"""Entities, and bytes of records, of a script's run: a run costs something besides, and until it has ended readers wait for their turn."""


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
        """Run `merge_tiles.lua` for some at a time, in one round trip."""
        rules = self._rules
        retire = (rules.retire_at, rules.held, held_from) if rules.retire_at else (0, 0, 0)
        cold = (rules.together_ms, rules.cold_step_ms)
        settings = _SETTINGS.pack(
            rules.layout, self._tile_ms, rules.retention_ms, rules.ttl_ms or 0, *cold, *retire, rules.level_ms, int(rules.forgets)
        )
        alike, members, bodies = (*self._fields, settings, self._account), list(records), list(records.values())
        parts = list(_parts(list(map(len, bodies))))
        replies = self._merge.run(self._client, [(members[part], (*alike, *bodies[part])) for part in parts])
        return [members[part][position] for part, due in zip(parts, replies, strict=True) for position in due]

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


def _parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Of entities, by the bytes of each: those that are merged in a run."""
    first = held = 0
    for place, size in enumerate(sizes):
        if place - first == _TOGETHER or (held and held + size > _BYTES):
            yield slice(first, place)
            first, held = place, 0
        held += size
    if sizes:
        yield slice(first, len(sizes))
