"""A view in another's shadow: what means the same is found, and is compared value by value, whatever the tiles are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from features.expressions.expression import parse
from features.plan import ViewPlan
from features.window import Sliding
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.view_diff import Compared, compare, same_meaning
from inference.online.writer import TileWriter
from schemas.errors import DataError, SettingError
from tests.features.kernel.example import TILE_MS, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import BY_KEY, rows_table

WIDE = [feature for feature in BY_KEY.features if feature.window.reach_ms % (2 * TILE_MS) == 0]
WIDER = replace(BY_KEY, name="wider", tile_ms=2 * TILE_MS, features=tuple(replace(each, name=f"w_{each.name}") for each in WIDE))
EVENTS = [event(number * TILE_MS // 3, i=number % 7, x=0.1 * number) | {"key": f"k{number % 3}"} for number in range(90)]
END_MS = 30 * TILE_MS


def fill(client: Client, view: ViewPlan, events: Sequence[dict[str, Any]], *, end_ms: int = END_MS) -> None:
    writer = TileWriter(view, RedisStore(client), slack_ms=10**9)
    writer.write(rows_table(view, [{**row, "zone": 0, "revision": 0} for row in build_tiles(view, events)]))
    writer.close(end_ms, 0)


def found(client: Client, one: ViewPlan, other: ViewPlan, points: int = 8) -> list[Compared]:
    (*_, last) = compare(RedisStore(client), one, other, project="tidemark", points=points)
    return last


def test_features_are_paired_by_what_they_mean() -> None:
    assert 0 < len(same_meaning(BY_KEY, WIDER)) == len(WIDE) < len(BY_KEY.features)
    assert all(b.name == f"w_{a.name}" for a, b in same_meaning(BY_KEY, WIDER))
    assert {(a.name, b.name) for a, b in same_meaning(BY_KEY, BY_KEY)} == {(f.name, f.name) for f in BY_KEY.features}
    longer = replace(BY_KEY, features=(replace(BY_KEY.features[0], window=Sliding(size_ms=999 * TILE_MS)), *BY_KEY.features[1:]))
    assert BY_KEY.features[0].name not in {a.name for a, _ in same_meaning(BY_KEY, longer)}
    where = parse("i > 1", BY_KEY.source.columns, BY_KEY.source.nullable, where="test")
    assert same_meaning(BY_KEY, replace(BY_KEY, where=where)) == []


def test_the_same_events_in_wider_tiles_have_the_same_values(client: Client) -> None:
    fill(client, BY_KEY, EVENTS)
    fill(client, WIDER, EVENTS)
    compared = found(client, BY_KEY, WIDER)
    assert {each.different for each in compared} == {0}
    assert {each.values for each in compared} == {3 * 8}


def test_older_tiles_have_the_same_values_too(client: Client) -> None:
    many = [event(number * 10 * TILE_MS, i=number % 7, x=0.1 * number) for number in range(120)]
    for view in (BY_KEY, WIDER):
        fill(client, view, many, end_ms=1_200 * TILE_MS)
    compared = found(client, BY_KEY, WIDER, points=400)
    assert {(each.values, each.different) for each in compared} == {(400, 0)}


def test_a_view_that_counts_something_else_is_found(client: Client) -> None:
    fill(client, BY_KEY, EVENTS)
    fill(client, WIDER, EVENTS[:-1])
    compared = {each.one: each for each in found(client, BY_KEY, WIDER)}
    wrong = compared["by_key_count_3h"]
    assert wrong.different == 1  # the last tile alone, which only the last boundary has
    (example,) = wrong.examples
    assert (example.entity, example.boundary_ms) == (EVENTS[-1]["key"], END_MS)
    assert example.one == example.other + 1  # type: ignore[operator]


def test_only_what_both_are_complete_for_is_compared(client: Client) -> None:
    fill(client, BY_KEY, EVENTS)
    fill(client, WIDER, [each for each in EVENTS if each["t"] < END_MS - 2 * TILE_MS], end_ms=END_MS - 2 * TILE_MS)
    assert {each.different for each in found(client, BY_KEY, WIDER)} == {0}


def test_without_a_frontier_or_a_common_meaning_there_is_nothing_to_compare(client: Client) -> None:
    fill(client, BY_KEY, EVENTS)
    with pytest.raises(DataError, match=r"^shadow: view wider has no frontier yet; "):
        found(client, BY_KEY, WIDER)
    with pytest.raises(SettingError, match=r'^shadow: no feature of "wider" means what one of "by_key" does; '):
        found(client, BY_KEY, replace(WIDER, keys=()))
