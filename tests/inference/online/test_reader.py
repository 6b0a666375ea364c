"""What the reader serves is what the oracle says, and it says when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

import features.columns.values
import inference.online.served
from features.vocabulary.derived import DerivedFeature, derived_feature
from inference.online.connection import connect
from inference.online.reader import NO_FRONTIER_AGE_MS, OnlineReader
from inference.online.redis.connection import Client, hmget_many
from inference.online.redis.layout import cold_fields
from inference.online.redis.store import RedisStore
from inference.online.served import Served
from inference.online.writer import TileWriter
from schemas.errors import DataError, ServiceError
from tests.features.kernel.example import DELAY_MS, QUESTIONS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import assert_same, event, expected_of, histories, values
from tests.inference.example import BY_KEY, BY_ZONE, SERVICE, VIEWS, requests_of, tiles_of

FAR_MS = 10**14 // TILE_MS * TILE_MS


def load(client: Client, events: Sequence[dict[str, Any]], *, frontier_ms: int | None = FAR_MS, slack_ms: int = 10**9) -> None:
    """Store the events' tiles in every view and close them up to a frontier."""
    for view in VIEWS:
        writer = TileWriter(view, RedisStore(client), slack_ms=slack_ms)
        writer.write(tiles_of(view, events))
        if frontier_ms is not None:
            writer.close(frontier_ms, 0)


def check(served: Served, events: Sequence[dict[str, Any]], rows: Sequence[tuple[str | None, int]]) -> None:
    """Every feature of every row against the oracle."""
    columns = {name: values(served.table[name].combine_chunks()) for name in served.table.column_names}
    inputs = [e[column] for e in events for column in ("x", "i") if e[column] is not None]
    for number, (key, as_of) in enumerate(rows):
        expected = expected_of(events, key, as_of)
        for view in VIEWS:
            own = {feature.name for feature in view.features}
            for question in QUESTIONS:
                if f"{view.name}_{question.name}" in own:
                    assert_same(question, columns[f"{view.name}_{question.name}"][number], expected[question.name], inputs)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories())
def test_requests_at_many_times_are_each_served_as_of_their_own(
    client: Client, history: tuple[list[dict[str, Any]], list[tuple[str, int]]]
) -> None:
    events, rows = history
    client.flushall()
    load(client, events)
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of(rows))
    check(served, events, rows)
    assert not any(served.table["stale"].to_pylist())
    assert served.stale_age_ms.tolist() == [0] * len(rows)
    seen = {e["key"] for e in events}
    for view in VIEWS:
        assert served.unseen[view.name].tolist() == [key not in seen for key, _ in rows]


def test_older_tiles_are_read_only_where_a_window_reaches_them(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = 60 * TILE_MS
    events = [event(number * hour, i=number, x=number / 2, word="w" * (number % 3)) for number in range(48)]
    load(client, events)
    trips: list[bool] = []

    def asked(client: Client, groups: Any) -> Any:
        trips.append(any(cold_fields(view)[0] in fields for _, fields in groups for view in VIEWS))
        return hmget_many(client, groups)

    monkeypatch.setattr("inference.online.redis.tile_reads.hmget_many", asked)
    reader = OnlineReader(SERVICE, RedisStore(client))
    now, then = 48 * hour + DELAY_MS, 20 * hour + DELAY_MS
    for times, expected in (([now], [False]), ([then], [False, True]), ([now, then], [True]), ([now], [True]), ([now], [False])):
        rows = [("a", time) for time in times]
        trips.clear()
        served = reader.read(requests_of(rows))
        check(served, events, rows)
        assert not any(served.table["stale"].to_pylist())
        assert trips == expected


def late_share(by_key_count_3h: Any, twice: Any) -> Any:
    return np.sqrt(by_key_count_3h) + twice


def test_derived_features_are_read_like_any_other(client: Client) -> None:
    load(client, [event(0), event(1)])
    derived = derived_feature("late_share", late_share)
    assert isinstance(derived, DerivedFeature)
    table = OnlineReader(replace(SERVICE, derived=(derived,)), RedisStore(client)).read(requests_of([("a", TILE_MS + DELAY_MS)] * 3)).table
    assert table.column_names[-3:] == ["late_share", "frontier", "stale"]
    assert table["late_share"].to_pylist() == [2**0.5, 2**0.5 + 0.5, None]


def test_the_model_reads_the_same_as_numbers(client: Client) -> None:
    load(client, [event(0, i=3, x=-0.0, flag=True, at=7, word="w"), event(1, x=2.5, flag=False)])
    derived = derived_feature("late_share", late_share)
    assert isinstance(derived, DerivedFeature)
    service = replace(SERVICE, derived=(derived,))
    served = OnlineReader(service, RedisStore(client)).read(requests_of([("a", TILE_MS + DELAY_MS), (None, TILE_MS), ("b", TILE_MS)] * 2))
    assert list(served.vector) == list(service.feature_types)
    for name, type_ in service.feature_types.items():
        assert served.vector[name].arrow(type_).equals(served.table[name].combine_chunks()), name


def test_features_of_views_are_read_without_a_table(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(client, [event(0, i=1)])
    service = replace(SERVICE, views=(BY_KEY, BY_ZONE), request_features=())
    reader, requests = OnlineReader(service, RedisStore(client)), requests_of([("a", TILE_MS + DELAY_MS)])
    expected = reader.read(requests).table
    for module in (features.columns.values, inference.online.served):
        monkeypatch.setattr(module, "pa", None)
    columns = reader.read(requests).vector
    assert {name: columns[name].numbers.tolist() for name in ("by_key_count_3h", "by_zone_sum_i_5m")} == {
        "by_key_count_3h": expected["by_key_count_3h"].to_pylist(),
        "by_zone_sum_i_5m": expected["by_zone_sum_i_5m"].to_pylist(),
    }


def test_columns_come_in_the_services_order(client: Client) -> None:
    load(client, [event(0)])
    requests = requests_of([("a", TILE_MS), (None, TILE_MS), ("b", TILE_MS)])
    table = OnlineReader(SERVICE, RedisStore(client)).read(requests).table
    features = [feature.name for view in VIEWS for feature in view.features]
    assert table.column_names == ["id", "at", "key", "zone", "amount", "twice", *features, "frontier", "stale"]
    assert table["twice"].to_pylist() == [0.0, 0.5, None]
    assert table.schema.field("frontier").type == pa.timestamp("ms", "UTC")
    for name, type_ in SERVICE.feature_types.items():
        assert table.schema.field(name).type == type_.arrow


def test_ahead_of_the_frontier_the_newest_complete_tiles_are_served_and_marked(client: Client) -> None:
    events = [event(k * TILE_MS, i=1) for k in range(20)]
    load(client, events, frontier_ms=10 * TILE_MS)
    rows = [("a", k * TILE_MS + DELAY_MS) for k in (9, 10, 13)]
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of(rows))
    assert served.table["by_key_count_5m"].to_pylist() == [5, 5, 5]
    assert served.table["by_key_count_3h"].to_pylist() == [9, 10, 10]
    assert served.table["stale"].to_pylist() == [False, False, True]
    assert served.stale_age_ms.tolist() == [0, 0, 3 * TILE_MS]
    assert values(served.table["frontier"].combine_chunks()) == [10 * TILE_MS] * 3


def test_the_oldest_view_decides_for_the_row(client: Client) -> None:
    load(client, [event(0, i=1)], frontier_ms=None)
    for number, view in enumerate(VIEWS):
        TileWriter(view, RedisStore(client)).close((number + 1) * TILE_MS, 0)
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of([("a", 2 * TILE_MS + DELAY_MS)]))
    assert served.table["stale"].to_pylist() == [True]
    assert served.stale_age_ms.tolist() == [TILE_MS]
    assert values(served.table["frontier"].combine_chunks()) == [TILE_MS]
    assert served.table["words_count_3h"].to_pylist() == [1]


def test_before_the_first_closing_everything_is_empty_and_stale(client: Client) -> None:
    load(client, [event(0, i=1)], frontier_ms=None)
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of([("a", TILE_MS * 9), ("silent", -TILE_MS)]))
    assert served.table["by_key_count_3h"].to_pylist() == [0, 0]
    assert served.table["stale"].to_pylist() == [True, True]
    assert served.table["frontier"].null_count == 2
    assert served.stale_age_ms.tolist() == [NO_FRONTIER_AGE_MS] * 2
    assert served.unseen["by_key"].tolist() == [False, True]


def test_a_window_that_reaches_into_dropped_tiles_is_stale(client: Client) -> None:
    events = [event(k * TILE_MS, i=1) for k in range(400)]
    load(client, events, slack_ms=100 * TILE_MS)
    kept_from = 400 - 180 - 100
    rows = [("a", (kept_from + 180 + k) * TILE_MS + DELAY_MS) for k in (-1, 0, 1)]
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of([*rows, ("b", rows[0][1])]))
    assert served.table["stale"].to_pylist() == [True, False, False, False]
    assert served.table["by_key_count_3h"].to_pylist() == [179, 180, 180, 0]
    assert served.stale_age_ms.tolist() == [0, 0, 0, 0]


def test_never_seen_empty_and_valued_are_told_apart(client: Client) -> None:
    load(client, [event(0, i=1)])
    rows = [("a", TILE_MS + DELAY_MS), ("a", 300 * TILE_MS), ("silent", TILE_MS), (None, TILE_MS)]
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of(rows))
    assert served.unseen["words"].tolist() == [False, False, True, True]
    assert served.tiles["words"].tolist() == [1, 0, 0, 0]
    assert served.table["words_count_3h"].to_pylist() == [1, 0, 0, 0]
    assert not any(served.table["stale"].to_pylist())


def test_no_requests_are_fine(client: Client) -> None:
    served = OnlineReader(SERVICE, RedisStore(client)).read(requests_of([]))
    assert served.table.num_rows == 0
    assert len(served.stale_age_ms) == 0


@pytest.mark.slow
def test_a_row_does_not_depend_on_the_other_requests_to_the_bit(client: Client) -> None:
    random = np.random.default_rng(7)
    events = [
        {**event(int(t), x=float(x)), "key": key}
        for t, x, key in zip(random.integers(0, 10**7, 400), random.normal(size=400), "ab" * 200, strict=True)
    ]
    load(client, events)
    rows: list[tuple[str | None, int]] = [("ab"[k % 2], int(t)) for k, t in enumerate(random.integers(0, 2 * 10**7, 60))]
    reader = OnlineReader(SERVICE, RedisStore(client))
    together = reader.read(requests_of(rows)).table.drop_columns(["id", "amount", "twice"]).to_pylist()
    alone = [reader.read(requests_of([row])).table.drop_columns(["id", "amount", "twice"]).to_pylist()[0] for row in rows]
    for one, other in zip(together, alone, strict=True):
        assert {k: v.hex() if isinstance(v, float) else v for k, v in one.items()} == {
            k: v.hex() if isinstance(v, float) else v for k, v in other.items()
        }


def test_a_request_without_a_time_is_refused(client: Client) -> None:
    requests = requests_of([("a", 0)]).set_column(1, "at", pa.array([None], pa.timestamp("ms", "UTC")))
    with pytest.raises(DataError, match="'at'"):
        OnlineReader(SERVICE, RedisStore(client)).read(requests)


def test_an_unreachable_server_is_one_clear_line(nobody: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        OnlineReader(SERVICE, connect(nobody)).read(requests_of([("a", 0)]))
    assert "does not serve" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_after_an_error_the_connection_serves_again(client: Client) -> None:
    load(client, [event(0, i=1)])
    reader = OnlineReader(SERVICE, RedisStore(client))
    requests = requests_of([("a", TILE_MS + DELAY_MS)])
    good = reader.read(requests).table
    raw: Any = client
    (key,) = [name for name in raw.keys("*") if name.startswith(b"\x02")]  # the hash of two join keys
    client.rename(key, "elsewhere")
    client.set(key, "not a hash")
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        reader.read(requests)
    client.delete(key)
    client.rename("elsewhere", key)
    assert reader.read(requests).table.equals(good)
    client.client_kill_filter(_type="normal", skipme=False)
    assert reader.read(requests).table.equals(good)
