"""Feast itself, on the same Redis: same bytes both ways, same numbers through plain `get_online_features`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from features.catalog import load as load_definitions
from features.compiler.feast import AS_OF, REQUEST, describe_service, describe_view
from features.tiles.codec import TileCodec
from features.window import Sliding
from inference.feast_registry import registry
from inference.online.frontier import NEVER_MS, Account, Lost
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, frontier_fields, frontier_key, int64_of, packed_of, tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.errors import ServiceError
from tests.docs.pages import ROOT, named
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import event, values
from tests.inference.example import BY_KEY, BY_ZONE, PLAN, SERVICE, VIEWS, ZONES, one_tile_of_each, requests_of, tiles_of
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Feast's own

EVENTS = [
    event(0, x=1.5, i=3, word="é", flag=True, at=1_234_567, seq=1),
    event(90_000, x=1e9 + 0.25, i=2**62, word="z", flag=False, at=-1, seq=None),
    event(90_000, x=-2.0, i=2**62, word="y", seq=2),
    event(-5 * TILE_MS - 1, x=0.5, i=-7, word=""),
    {**event(61_000, x=4.0, i=None, word="b"), "key": "b"},
]


@pytest.fixture(scope="module")
def store(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Feast with the example's plan applied, twice."""
    import_module("feast")  # ahead of the registry, which would import it without its checks of what it is given
    folder = tmp_path_factory.mktemp("feast")
    registry(PLAN, redis=valkey, folder=folder)
    return registry(PLAN, redis=f"redis://{valkey}/0", folder=folder)


def load(client: Client) -> None:
    """Tiles and frontiers of the example."""
    for view in VIEWS:
        writer = TileWriter(view, RedisStore(client))
        writer.write(tiles_of(view, EVENTS))
        for end in (-5 * TILE_MS, TILE_MS, 2 * TILE_MS):
            writer.close(end, 1 if end != 2 * TILE_MS else 2)


def test_plain_get_online_features_equals_the_reader(store: Any, client: Client) -> None:
    load(client)
    rows: list[tuple[str | None, int]] = [
        (key, time) for key in ("a", "b", "silent") for time in (-TILE_MS, TILE_MS + DELAY_MS + 1, 2 * TILE_MS + DELAY_MS, 50 * TILE_MS)
    ]
    requests = requests_of(rows)
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests).table
    entities = [
        {"key": row["key"], "zone": row["zone"], "amount": row["amount"], AS_OF: int(row["at"].timestamp() * 1000)}
        for row in requests.to_pylist()
    ]
    feast = store.get_online_features(features=store.get_feature_service("scoring"), entity_rows=entities).to_dict()
    for name in SERVICE.feature_types:
        assert feast[name] == values(served[name].combine_chunks()), name


def test_feast_reads_older_tiles_too(store: Any, client: Client) -> None:
    load(client)
    rows = [{"key": "a", "zone": ZONES["a"], AS_OF: time} for time in (2 * TILE_MS + DELAY_MS, 1_200 * TILE_MS + DELAY_MS)]
    for view in VIEWS:
        writer = TileWriter(view, RedisStore(client))
        writer.write(tiles_of(view, [event(1_199 * TILE_MS, i=1)]))
        writer.close(1_200 * TILE_MS, 1)
    names = [f"{view.name}:{view.name}_count_3h" for view in VIEWS]
    feast = store.get_online_features(features=names, entity_rows=rows).to_dict()
    assert {name.partition(":")[2]: feast[name.partition(":")[2]] for name in names} == {f"{view.name}_count_3h": [4, 1] for view in VIEWS}


def test_features_by_reference_and_the_frontier_as_a_feature(store: Any, client: Client) -> None:
    load(client)
    rows = [{"key": "a", "zone": ZONES["a"], AS_OF: 2 * TILE_MS + DELAY_MS}]
    names = ["by_key:by_key_sum_i_3h", "by_zone:by_zone_count_3h", "by_key__frontier:by_key__frontier"]
    feast = store.get_online_features(features=names, entity_rows=rows).to_dict()
    assert feast["by_key_sum_i_3h"] == [(3 + 2**63 - 7 + 2**63) % 2**64 - 2**63]
    assert feast["by_zone_count_3h"] == [4]
    assert feast["by_key__frontier"] == [2 * TILE_MS]


def test_since_when_a_view_is_complete_is_a_feature(store: Any, client: Client) -> None:
    load(client)
    frontiers, name = RedisStore(client).frontiers(), "by_key__since"

    def since() -> Any:
        rows = [{"key": "a", AS_OF: 2 * TILE_MS + DELAY_MS}]
        (found,) = store.get_online_features(features=[f"{name}:{name}"], entity_rows=rows).to_dict()[name]
        return found

    assert since() is None
    frontiers.begin(frontiers.open(), "anew", {}, {BY_KEY.name: Lost(span_ms=TILE_MS, lost=True)})
    assert since() == NEVER_MS
    TileWriter(BY_KEY, RedisStore(client)).write(one_tile_of_each(BY_KEY, [2], entities=1))
    frontiers.account(frontiers.open(), {BY_KEY.name: Account(tile_ms=TILE_MS, stored={}, closings=[(3 * TILE_MS, 1)])})
    assert since() == 2 * TILE_MS


def test_full_feature_names_work_too(store: Any, client: Client) -> None:
    load(client)
    rows = [{"key": key, "zone": ZONES[key], "amount": 1.0, AS_OF: 2 * TILE_MS + DELAY_MS} for key in ("a", "silent")]
    service = store.get_feature_service("scoring")
    feast = store.get_online_features(features=service, entity_rows=rows, full_feature_names=True).to_dict()
    assert feast["by_key__by_key_count_3h"] == [4, 0]
    assert feast["words__words_last_word_3h"] == ["z", None]
    assert feast["words__words_max_x_1m"] == [1e9 + 0.25, None]
    assert feast["scoring__request__twice"] == [2.0, 2.0]


def test_another_process_reads_through_the_registry_file_alone(store: Any, client: Client, valkey: str) -> None:
    load(client)
    folder = Path(store.config.registry.path).parent
    code = f"""
from pathlib import Path
from inference.feast_registry import feature_store
store = feature_store(redis={valkey!r}, folder=Path({str(folder)!r}))
rows = [{{"key": "a", {AS_OF!r}: {2 * TILE_MS + DELAY_MS}}}]
print(store.get_online_features(features=["words:words_last_word_3h"], entity_rows=rows).to_dict()["words_last_word_3h"])
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert run.stdout.strip() == "['z']", run.stderr


def test_the_snippet_of_the_docs_reads_through_feast(valkey: str, tmp_path: Path, client: Client) -> None:
    url = f"redis://{valkey}/0"
    registry(load_definitions(None, None), redis=url, folder=tmp_path / ".tidemark" / "feast")
    environ = os.environ | {"TIDEMARK_REDIS": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", named("python")["feast"]]
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert "'origin_departures_1h': [0]" in run.stdout, run.stderr


def test_we_read_what_feast_writes(store: Any, client: Client) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    blob = TileCodec(view=BY_ZONE).value([], newest_end_ms=0)
    entity = EntityKey(join_keys=["zone", "key"], entity_values=[Value(int64_val=-(2**40)), Value(string_val="bé")])
    time = datetime(2013, 3, 10, 7, 0, 0, 123_000, tzinfo=UTC)
    online = store._get_provider().online_store
    online.online_write_batch(
        store.config, store.get_feature_view("by_zone__tiles"), [(entity, {"by_zone__tiles": Value(bytes_val=blob)}, time, None)], None
    )
    dummy = EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")])
    view = store.get_feature_view("by_zone__frontier")
    online.online_write_batch(store.config, view, [(dummy, {"by_zone__frontier": Value(int64_val=-86_400_000)}, time, None)], None)
    raw: Any = client
    key = EntityKeys(BY_ZONE.keys, "tidemark").of([-(2**40), "bé"])
    assert bytes(packed_of(raw.hget(key, tiles_fields(BY_ZONE)[0])) or b"") == blob
    assert int64_of(raw.hget(frontier_key("tidemark"), frontier_fields("by_zone")[0])) == -86_400_000


@pytest.mark.parametrize("end_ms", [-5 * TILE_MS, 0, TILE_MS, 1_362_898_800_000])
def test_feast_reads_the_values_and_times_that_we_write(store: Any, client: Client, end_ms: int) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    writer = TileWriter(BY_KEY, RedisStore(client))
    writer.write(tiles_of(BY_KEY, [event(end_ms - TILE_MS, i=k) for k in range(3)]))
    writer.close(end_ms, 1)
    online = store._get_provider().online_store
    entity = EntityKey(join_keys=["key"], entity_values=[Value(string_val="a")])
    ((time, row),) = online.online_read(store.config, store.get_feature_view("by_key__tiles"), [entity], ["by_key__tiles"])
    assert time == datetime.fromtimestamp(end_ms / 1000, UTC)
    assert TileCodec(view=BY_KEY).unpack([row["by_key__tiles"].bytes_val]).tiles.start_ms.tolist() == [end_ms - TILE_MS]
    dummy = EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")])
    ((time, row),) = online.online_read(store.config, store.get_feature_view("by_key__frontier"), [dummy], ["by_key__frontier"])
    assert row["by_key__frontier"].int64_val == end_ms
    assert time == datetime.fromtimestamp(end_ms / 1000, UTC)


def test_a_changed_definition_replaces_the_registered_one(valkey: str, tmp_path: Path, client: Client) -> None:
    load(client)
    rows = [{"key": "a", AS_OF: 2 * TILE_MS + DELAY_MS}]
    first = registry(PLAN, redis=valkey, folder=tmp_path)
    assert first.get_online_features(features=["by_key:by_key_count_1m"], entity_rows=rows).to_dict()["by_key_count_1m"] == [2]
    wider = replace(BY_KEY, features=tuple(replace(feature, window=Sliding(size_ms=180 * TILE_MS)) for feature in BY_KEY.features))
    second = registry(replace(PLAN, views={**PLAN.views, "by_key": wider}), redis=valkey, folder=tmp_path)
    assert second.get_online_features(features=["by_key:by_key_count_1m"], entity_rows=rows).to_dict()["by_key_count_1m"] == [4]


def test_the_description_names_every_object() -> None:
    text = describe_view(BY_ZONE)
    assert "FeatureView by_zone__tiles(zone, key)\n  by_zone__tiles: Bytes\n" in text
    assert "OnDemandFeatureView by_zone(by_zone__tiles, by_zone__older, by_zone__frontier, as_of_ms), python\n" in text
    assert f"OnDemandFeatureView {REQUEST.format(service='scoring')}(amount, key, zone), python\n    twice: Float64\n" in describe_service(
        SERVICE
    )


def test_an_unreachable_server_is_one_clear_line(client: Client, nobody: str, tmp_path: Path) -> None:
    registry(PLAN, redis=nobody, folder=tmp_path, project="tidemark")
    with pytest.raises(ServiceError, match="does not serve"):  # it is asked which generation is served
        registry(PLAN, redis=nobody, folder=tmp_path)
    with pytest.raises(ServiceError, match="does not serve"):
        from inference.online.connection import connect

        TileWriter(BY_KEY, connect(nobody)).close(0, 0)
