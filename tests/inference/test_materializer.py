"""Raw tiles and closings reach the store, in whatever order and however often they come; what cannot be read is refused, by itself."""

from __future__ import annotations

from itertools import permutations

import pyarrow as pa
import pytest

from features.compiler.tile_schema import tile_avro_schema
from features.partials.buckets import BucketsPartial
from features.partials.latest import LatestPartial
from features.partials.map_partial import MapPartial
from features.partials.map_text import TOO_LARGE
from features.partials.partial import Partial
from features.partials.registers import RegistersPartial
from features.plan import FRONTIER_TOPIC
from inference.materializer import Materializer
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.errors import ServiceError
from schemas.types import DataType
from tests import shop
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import WORDS, tiles_of
from tests.shop import MINUTE, NOON

PLAN = shop.plan()
USER, SHELF = PLAN.views["user_clicks"], PLAN.views["shelf_clicks"]


def materializer(client: Client) -> Materializer:
    writers = {view.name: TileWriter(view, RedisStore(client)) for view in (USER, SHELF)}
    return Materializer(views=(USER, SHELF), writers=writers, frontiers=RedisStore(client).frontiers(), schemas=shop.schemas())


def records() -> list[tuple[str, bytes]]:
    """Two minutes of the shop: two tiles and one of `user_clicks`, none and one of `shelf_clicks`."""
    return [
        (USER.tiles_topic, shop.user_tile(USER, NOON, "ann", 1.0, 2.0)),
        (USER.tiles_topic, shop.user_tile(USER, NOON, "bob", 5.0)),
        (FRONTIER_TOPIC, shop.closing(USER.name, NOON + MINUTE, 2)),
        (FRONTIER_TOPIC, shop.closing(SHELF.name, NOON + MINUTE, 0)),
        (USER.tiles_topic, shop.user_tile(USER, NOON + MINUTE, "ann", 4.0)),
        (SHELF.tiles_topic, shop.shelf_tile(SHELF, NOON + MINUTE, 7, "top", 4.0)),
        (FRONTIER_TOPIC, shop.closing(USER.name, NOON + 2 * MINUTE, 1)),
        (FRONTIER_TOPIC, shop.closing(SHELF.name, NOON + 2 * MINUTE, 1)),
    ]


def ann(client: Client) -> dict[str, object]:
    """What ann is served two minutes after noon, and her window is complete."""
    request = {
        "request_id": pa.array(["r"]),
        "event_time": pa.array([NOON + 2 * MINUTE + USER.delay_ms], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
        "user": pa.array(["ann"]),
        "shop": pa.array([7]),
        "shelf": pa.array(["top"]),
        "price": pa.array([2.5]),
        "colour": pa.array(["red"]),
    }
    (row,) = OnlineReader(PLAN.services["buy"], RedisStore(client)).read(pa.table(request)).table.to_pylist()
    return {name: row[name] for name in ("clicks_5m", "spent_5m", "last_amount_10m", "shelf_clicks_5m", "shelf_most_5m", "stale")}


EXPECTED = {"clicks_5m": 3, "spent_5m": 7.0, "last_amount_10m": 4.0, "shelf_clicks_5m": 1, "shelf_most_5m": 4.0, "stale": False}


@pytest.mark.parametrize("size", [1, 3, 8])
def test_tiles_are_readable_and_frontiers_advance(client: Client, size: int) -> None:
    job, given = materializer(client), records()
    for first in range(0, len(given), size):
        topics, bodies = zip(*given[first : first + size], strict=True)
        assert job.write(topics, bodies).reasons == [None] * len(bodies)
    assert RedisStore(client).frontiers().read([USER.name, SHELF.name]) == {USER.name: NOON + 2 * MINUTE, SHELF.name: NOON + 2 * MINUTE}
    assert ann(client) == EXPECTED


def test_the_order_between_topics_does_not_matter(client: Client) -> None:
    by_topic = {
        topic: [record for record in records() if record[0] == topic] for topic in (USER.tiles_topic, SHELF.tiles_topic, FRONTIER_TOPIC)
    }
    for order in permutations(by_topic.values()):
        client.flushall()
        job = materializer(client)
        for topic, body in (record for part in order for record in part):
            job.write([topic], [body])
        assert RedisStore(client).frontiers().read([USER.name])[USER.name] == NOON + 2 * MINUTE
        assert ann(client) == EXPECTED


def test_doing_it_again_changes_nothing(client: Client) -> None:
    job, (topics, bodies) = materializer(client), zip(*records(), strict=True)
    first = job.write(topics, bodies)
    assert (first.tiles, first.closings) == (4, 4)
    materializer(client).write(topics, bodies)
    assert ann(client) == EXPECTED


def test_a_frontier_waits_for_the_tiles_that_its_closing_announced(client: Client) -> None:
    job, given = materializer(client), records()
    missing = given.pop(1)
    topics, bodies = zip(*given, strict=True)
    job.write(topics, bodies)
    assert RedisStore(client).frontiers().read([USER.name, SHELF.name]) == {USER.name: None, SHELF.name: NOON + 2 * MINUTE}
    job.write([missing[0]], [missing[1]])
    assert RedisStore(client).frontiers().read([USER.name])[USER.name] == NOON + 2 * MINUTE


def test_what_cannot_be_read_is_refused_and_the_rest_is_written(client: Client) -> None:
    good = shop.user_tile(USER, NOON, "ann", 1.0)
    given: list[tuple[str, bytes | None, str | None]] = [
        (USER.tiles_topic, good, None),
        (USER.tiles_topic, good[:-3], "truncated"),
        (USER.tiles_topic, good + b"\0\0", "over-long"),
        (USER.tiles_topic, None, "tombstone"),
        (USER.tiles_topic, b"", "empty"),
        (USER.tiles_topic, b"\xff" * 40, "wrong-type"),
        (USER.tiles_topic, shop.user_tile(USER, NOON + 1, "ann", 1.0), "wrong-tile"),
        (FRONTIER_TOPIC, shop.closing("nobody", NOON + MINUTE, 0), "unknown-view"),
        (FRONTIER_TOPIC, shop.closing(USER.name, NOON + 1, 0), "wrong-tile"),
        (FRONTIER_TOPIC, shop.closing(USER.name, NOON + MINUTE, -1), "wrong-tile"),
        (FRONTIER_TOPIC, b"\x80", "truncated"),
        (FRONTIER_TOPIC, shop.closing(USER.name, NOON + MINUTE, 1), None),
    ]
    topics, bodies, codes = zip(*given, strict=True)
    stored = materializer(client).write(topics, bodies)
    assert [reason and reason.split(":")[0] for reason in stored.reasons] == list(codes)
    assert (stored.tiles, stored.closings) == (1, 1)
    assert RedisStore(client).frontiers().read([USER.name])[USER.name] == NOON + MINUTE


def damaged(partial: Partial) -> str:
    """Entries that no reader can make anything of."""
    match partial:
        case RegistersPartial():
            return "1 abc,2 xyz"
        case BucketsPartial():
            return "1 p3,2 q4"
        case LatestPartial() if partial.given.type is not DataType.STRING:
            return f"{NOON} 1.5.2"
    return "3 a,b"


def test_entries_that_cannot_be_read_are_refused_one_by_one(client: Client) -> None:
    row, *_ = tiles_of(
        WORDS, [event(0, i=1, x=-2.5, word="a,b\\"), event(1, i=-7, word=""), event(2, i=0, x=1e300, word="é\n")]
    ).to_pylist()
    job = Materializer(
        views=(WORDS,),
        writers={WORDS.name: TileWriter(WORDS, RedisStore(client))},
        frontiers=RedisStore(client).frontiers(),
        schemas=shop.schemas(),
    )
    maps = [partial for partial in WORDS.partials if isinstance(partial, MapPartial)]
    assert {type(partial) for partial in maps} == set(MapPartial.__subclasses__())
    rows = [row, row | {partial.name: TOO_LARGE for partial in maps}, row | {partial.name: None for partial in maps}]
    rows += [row | {partial.name: text} for partial in maps for text in (damaged(partial), "a", "", "x y", "1 ,", f"{10**20} a")]
    bodies = [shop.plain(tile_avro_schema(WORDS), each) for each in rows]
    stored = job.write([WORDS.tiles_topic] * len(bodies), bodies)
    assert stored.tiles == 3
    assert stored.reasons[:3] == [None] * 3
    for number, partial in enumerate(maps):
        said = f'wrong-entries: field "{partial.name}" is not made of {partial.kind} entries'
        assert stored.reasons[3 + 6 * number : 9 + 6 * number] == [said] * 6


def test_an_unreachable_store_is_a_clear_error() -> None:
    job = materializer(connect("redis://127.0.0.1:1/0"))
    with pytest.raises(ServiceError, match=r"^redis 127\.0\.0\.1:1: "):
        job.write([USER.tiles_topic], [shop.user_tile(USER, NOON, "ann", 1.0)])
