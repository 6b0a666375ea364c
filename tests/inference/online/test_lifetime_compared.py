"""Generations, views and Feast beside one another where the store has bases of all time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import inference.online.writer
from features.compiler.feast import AS_OF
from features.plan import Plan
from features.tiles.codec import TileCodec
from inference.feast_registry import registry
from inference.online.generation_diff import Generations, last
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys
from inference.online.redis.store import RedisStore
from inference.online.view_diff import compare
from jobs.generations.proof import _text
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import event, values
from tests.inference.example import SERVICE, ZONES, requests_of
from tests.inference.online.ever import (
    NOW_MS,
    NUMBERS,
    SLACK_MS,
    VIEWS,
    WORDS,
    numbered,
    stored,
    tiles_of,
    write,
    writer_of,
)


@pytest.mark.slow
def test_feast_reads_the_same_numbers(client: Client, valkey: str, tmp_path: Path) -> None:
    for view in VIEWS:
        writer_of(client, view).write(tiles_of(view, [*numbered(range(100)), event(150 * TILE_MS, x=2.5, word="z")]))
    service = replace(SERVICE, name="ever", views=VIEWS)
    plan = Plan(sources={}, views={view.name: view for view in VIEWS}, services={"ever": service})
    store = registry(plan, redis=valkey, folder=tmp_path)
    rows: list[tuple[str | None, int]] = [(key, at * TILE_MS + DELAY_MS) for key in ("a", "silent") for at in (140, 152, 10**5)]
    requests = requests_of(rows)
    served = OnlineReader(service, RedisStore(client)).read(requests).table
    entities = [{"key": key, "zone": ZONES[str(key)], "amount": 1.0, AS_OF: at} for key, at in rows]
    feast = store.get_online_features(features=store.get_feature_service("ever"), entity_rows=entities).to_dict()
    for view in VIEWS:
        for feature in view.features:
            assert feast[feature.name] == values(served[feature.name].combine_chunks()), feature.name
    assert feast["ever_words_sum_i_ever"] == [100, 100, 100, 0, 0, 0]


def test_two_generations_are_equal_wherever_their_bases_end_and_a_tile_that_one_lacks_is_found(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Generations(store=RedisStore(client), views=(WORDS,), first="one", second="two", slack_ms=SLACK_MS)
    events = [{**event(number * TILE_MS, i=number, x=0.1 * number, word="w" * (number % 3)), "key": "a"} for number in range(100)]
    write(writer_of(client, WORDS, project="one"), tiles_of(WORDS, events), 100)
    monkeypatch.setattr(inference.online.writer, "RETIRE_AT", 3)
    write(writer_of(client, WORDS, project="two"), tiles_of(WORDS, events), 7)
    ends = [TileCodec(view=WORDS).unpack([stored(client, WORDS, project=project)]).kept_from_ms for project in ("one", "two")]
    assert ends[0] != ends[1]
    assert last(both.compare()).equal
    client.delete(EntityKeys(WORDS.keys, "two").of(["a"]))
    write(writer_of(client, WORDS, project="two"), tiles_of(WORDS, [e for e in events if e["i"] != 17]), 7)
    found = last(both.compare())
    (example,) = found.examples
    assert (example.start_ms, example.what) == (None, "different")
    assert example.columns["ever_words_count_ever"][0] - example.columns["ever_words_count_ever"][1] == 1  # type: ignore[operator]


def test_a_base_that_is_stale_is_not_what_another_is_compared_with(client: Client) -> None:
    both = Generations(store=RedisStore(client), views=(NUMBERS,), first="one", second="two", slack_ms=SLACK_MS)
    whole, correction = tiles_of(NUMBERS, numbered(range(100))), tiles_of(NUMBERS, numbered([3], each=7), revision=NOW_MS - 10**9)
    for tiles in (whole, correction):
        writer_of(client, project="one").write(tiles)
    writer_of(client, project="two").write(pa.concat_tables([whole, correction]))
    found = last(both.compare())
    assert (found.equal, found.stale_bases) == (True, 1)
    other_way = last(replace(both, first="two", second="one").compare())
    (example,) = other_way.examples
    assert (example.what, example.columns["ever_numbers_sum_i_ever"]) == ("different", (81, 75))
    assert _text(example, 2, 1).startswith("ever_numbers of a, all time: ")
    assert "ever_numbers_sum_i_ever 81 and 75" in _text(example, 2, 1)


def test_a_view_in_the_shadow_that_lacks_history_differs_until_it_has_it(client: Client) -> None:
    other = replace(NUMBERS, name="other")
    writer_of(client, frontier=100 * TILE_MS).write(tiles_of(NUMBERS, numbered(range(100))))
    writer = writer_of(client, other, frontier=100 * TILE_MS)
    writer.write(tiles_of(other, numbered(range(50, 100))))

    def wrong() -> set[str]:
        (*_, found) = compare(RedisStore(client), NUMBERS, other, project="tidemark", points=4)
        assert {each.values for each in found} == {4}
        return {each.one for each in found if each.different}

    assert "ever_numbers_count_ever" in wrong()
    writer.write(tiles_of(other, numbered(range(100)), revision=-1))
    assert wrong() == set()
