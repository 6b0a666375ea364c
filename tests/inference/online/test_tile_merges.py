"""Tiles of many entities are merged in a few runs of a script: which of them have tiles that are due is told of each by name."""

from __future__ import annotations

import struct

import pytest

from features.tiles.codec import TileCodec
from features.tiles.compaction import HELD
from inference.online.redis import tile_merges
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.store import Member, MergeRules, TileMerges
from schemas.errors import ServiceError
from tests.features.kernel.example import TILE_MS
from tests.inference.online.ever import NUMBERS

CODEC = TileCodec(view=NUMBERS)
RULES = MergeRules(
    layout=CODEC.layout,
    retention_ms=10 * TILE_MS,
    ttl_ms=None,
    together_ms=0,
    cold_step_ms=0,
    retire_at=1,
    held=HELD,
    level_ms=0,
    forgets=False,
)
RECORD = struct.Struct("<Iqq")  # what is behind its head, start, revision
COUNT = 1_000


@pytest.fixture
def merges(client: Client) -> TileMerges:
    return RedisStore(client).tile_merges(NUMBERS, project="tidemark", rules=RULES)


def tiles(*numbers: int) -> bytes:
    """Of an entity, as they are stored: what they hold has no meaning here."""
    return b"".join(RECORD.pack(3, number * TILE_MS, 0) + b"any" for number in numbers)


@pytest.mark.parametrize("size", [1, 200, 1 << 20], ids=["each by itself", "some by their bytes", "some by their number"])
def test_entities_with_tiles_that_are_due_are_told_in_whatever_run_they_are(
    merges: TileMerges, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(tile_merges, "_BYTES", size)
    members = merges.members([(f"key {number}",) for number in range(COUNT)])
    due = [member for number, member in enumerate(members) if number % 7 == 0 or 500 < number < 540]
    given = {member: tiles(0, 100) if member in set(due) else tiles(0, 1) for member in members}
    assert merges.merge(given, held_from=1) == due
    assert all(stored is not None for stored in merges.stored(members))


def test_what_a_refused_run_leaves_is_merged_when_it_is_sent_again(client: Client, merges: TileMerges) -> None:
    members: list[Member] = merges.members([(f"key {number}",) for number in range(COUNT)])
    client.set(members[500], "no hash")
    given = dict.fromkeys(members, tiles(0))
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        merges.merge(given, held_from=1)
    client.delete(members[500])
    assert merges.merge(given, held_from=1) == []
    assert len({stored.packed for stored in merges.stored(members) if stored is not None}) == 1
    assert all(stored is not None for stored in merges.stored(members))
