"""Tiles of history beside the stream's own: a real Spark makes them, a real Valkey keeps them, and the reader serves what all events say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features.plan import ViewPlan
from features.versions.plan_diff import view_record
from features.window import Sliding
from inference.materializer import Materializer
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from jobs.bootstrap import closed, messages
from jobs.cli.main import main
from jobs.control import topic
from jobs.control.tile_closings import Extent
from jobs.kafka import admin
from jobs.spark.tiles_of_history import BEFORE_THE_STREAM, Wanted, staged
from schemas.errors import SettingError
from tests import shop
from tests.inference.conftest import valkey
from tests.jobs.parity.test_parity import BUY, CLICKS, END, UTC_MS, Click, clicks, client, offers, spark, tiles
from tests.shop import MINUTE, NOON

__all__ = ["client", "spark", "valkey"]
pytestmark = pytest.mark.e2e

LATER = 1_800_000_000_000  # the revision of a correction


def archived() -> list[dict[str, Any]]:
    """The clicks as the archive keeps them: every tenth came when its tile was closed, by a millisecond or by an hour."""
    found = []
    for number, click in enumerate(clicks()):
        last_ms = click["event_time"] // MINUTE * MINUTE + MINUTE - 1
        watermark = last_ms + (0, 3_600_000)[number // 10 % 2] if number % 10 == 0 else last_ms - 1 if number % 3 else None
        found.append(click | {"_watermark_ms": watermark})
    return found


def is_late(click: Click) -> bool:
    watermark = click["_watermark_ms"]
    return watermark is not None and watermark >= click["event_time"] // MINUTE * MINUTE + MINUTE - 1


def history(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    types = {name: type_.arrow for name, type_ in CLICKS.columns.items()} | {"_watermark_ms": pa.int64()}
    own = folder / "events" / "clicks"
    own.mkdir(parents=True)
    pq.write_table(
        pa.table({name: pa.array([row.get(name) for row in rows], type=type_) for name, type_ in types.items()}), own / "a.parquet"
    )
    return folder / "events"


def stream(client: Client, counted: Sequence[Click]) -> Materializer:
    """What materialize has written once the stream has counted these clicks and closed everything."""
    writers = {view.name: TileWriter(view, RedisStore(client)) for view in BUY.views}
    materializer = Materializer(views=BUY.views, writers=writers, frontiers=RedisStore(client).frontiers(), schemas=shop.schemas())
    for view in BUY.views:
        own = list(tiles(view, counted).values())
        write(materializer, view, [shop.tile(view, **{"start_ms": row.pop("tile_start"), **row}) for row in own])
        materializer.write(["tidemark.frontier"], [shop.closing(view.name, END, 0)])
    return materializer


def write(materializer: Materializer, view: ViewPlan, bodies: list[bytes]) -> None:
    assert materializer.write([view.tiles_topic] * len(bodies), bodies).reasons == [None] * len(bodies)


def loaded(
    spark: SparkSession, materializer: Materializer, folder: Path, rows: Sequence[dict[str, Any]], *, revision: int, **how: Any
) -> int:
    """Make tiles of history and let materialize have them; returns how many there were."""
    wanted = Wanted(views=BUY.views, schemas=shop.schemas(), events=history(folder, rows), **how)
    count = 0
    for view, own in staged(spark, wanted, folder):
        for batch in messages(view, own, revision=revision):
            write(materializer, view, [value for _, value, _ in batch])
            assert all(key.split("|") and time_ms % MINUTE == 0 for key, _, time_ms in batch)
            count += len(batch)
    return count


def served(client: Client) -> dict[str, list[Any]]:
    rows = offers()
    types = {name: type_.arrow for name, type_ in BUY.request.columns.items()} | {"event_time": UTC_MS}
    requests = pa.table({name: pa.array([row[name] for row in rows], type=type_) for name, type_ in types.items()})
    table = OnlineReader(BUY, RedisStore(client)).read(requests).table
    return {name: table.column(name).to_pylist() for name in (*BUY.feature_types, "stale")}


def assert_alike(got: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    for name, values in expected.items():
        assert got[name] == (pytest.approx(values, rel=1e-12) if name == "spent_5m" else values), name


def test_a_correction_serves_what_is_known_and_touches_only_what_was_late(client: Client, spark: SparkSession, tmp_path: Path) -> None:
    rows = archived()
    stream(client, rows)
    known = served(client)
    client.flushall()
    materializer = stream(client, [row for row in rows if not is_late(row)])
    as_served = served(client)
    assert as_served["clicks_5m"] != known["clicks_5m"]
    count = loaded(spark, materializer, tmp_path, rows, revision=LATER, as_known=True, late_only=True)
    assert_alike(served(client), known)
    late = [row for row in rows if is_late(row)]
    assert count == sum(len(tiles(view, late)) for view in BUY.views)


def test_a_stream_that_starts_again_does_not_undo_a_correction(client: Client, spark: SparkSession, tmp_path: Path) -> None:
    rows = archived()
    on_time = [row for row in rows if not is_late(row)]
    materializer = stream(client, on_time)
    loaded(spark, materializer, tmp_path, rows, revision=LATER, as_known=True, late_only=True)
    corrected = served(client)
    stream(client, on_time)
    assert served(client) == corrected


def test_a_bootstrap_fills_in_what_the_stream_did_not_see_and_replaces_nothing(client: Client, spark: SparkSession, tmp_path: Path) -> None:
    rows = archived()
    on_time = [row for row in rows if not is_late(row)]
    stream(client, on_time)
    whole = served(client)
    client.flushall()
    half = NOON + 15 * MINUTE
    seen = [row | ({"amount": 1_000.0} if row["event_time"] >= half + 5 * MINUTE else {}) for row in on_time if row["event_time"] >= half]
    materializer = stream(client, seen)
    before = served(client)
    count = loaded(spark, materializer, tmp_path, rows, revision=BEFORE_THE_STREAM, as_known=False, late_only=False)
    assert count == sum(len(tiles(view, on_time)) for view in BUY.views)
    got, asked = served(client), offers()
    old = [place for place, row in enumerate(asked) if row["event_time"] <= half]
    new = [place for place, row in enumerate(asked) if row["event_time"] >= half + 11 * MINUTE]  # its windows are the stream's alone
    assert old
    assert new
    assert_alike(only(got, old), only(whole, old))
    assert_alike(only(got, new), only(before, new))
    assert only(before, old) != only(whole, old)
    assert only(before, new) != only(whole, new)


def only(columns: dict[str, list[Any]], places: list[int]) -> dict[str, list[Any]]:
    return {name: [values[place] for place in places] for name, values in columns.items()}


def test_a_range_is_of_whole_tiles(client: Client, spark: SparkSession, tmp_path: Path) -> None:
    rows = archived()
    wanted = {"as_known": True, "late_only": False, "from_ms": NOON + 1, "until_ms": NOON + 2 * MINUTE + 1}
    materializer = stream(client, [])
    count = loaded(spark, materializer, tmp_path, rows, revision=BEFORE_THE_STREAM, **wanted)
    inside = [row for row in rows if NOON + MINUTE <= row["event_time"] < NOON + 3 * MINUTE]
    assert count == sum(len(tiles(view, inside)) for view in BUY.views)


def closings(end_ms: int) -> dict[str, Extent]:
    return {view.name: Extent(first_ms=NOON, last_ms=end_ms, tile_ms=view.tile_ms) for view in BUY.views}


@pytest.mark.parametrize(
    ("kept_ms", "closed_ms", "archived", "until_ms", "end_ms"),
    [
        (20.5, 20, True, None, 20),  # the archive ends in a tile that is still open
        (20.5, 20, True, 21, 20),  # whatever is asked for
        (20.5, 20, True, 10, 10),
        (20.5, 25, False, None, 20),  # files of elsewhere end in a tile that the stream has closed since
        (20.01, 25, False, None, 19),  # and some of it may be missing, since events are out of order
        (20.5, 25, False, 21, 21),  # which the user knows better
    ],
)
def test_only_whole_and_closed_tiles_win_over_the_stream_s_own(
    spark: SparkSession, tmp_path: Path, kept_ms: float, closed_ms: int, archived: bool, until_ms: int | None, end_ms: int
) -> None:
    rows: list[dict[str, Any]] = [row for row in clicks() if row["event_time"] < NOON + kept_ms * MINUTE]
    rows.append(rows[-1] | {"event_time": int(NOON + kept_ms * MINUTE) - 1})
    wanted = Wanted(
        views=BUY.views,
        schemas=shop.schemas(),
        events=history(tmp_path, rows),
        as_known=False,
        late_only=False,
        until_ms=None if until_ms is None else NOON + until_ms * MINUTE,
    )
    found = [
        start.as_py()
        for part in closed(spark, wanted, closings(NOON + closed_ms * MINUTE), archived=archived)
        for _, own in staged(spark, part, tmp_path)
        for start in pq.read_table(own).column("tile_start").cast(pa.timestamp("ms")).cast(pa.int64())
    ]
    inside = [row for row in rows if row["event_time"] < NOON + end_ms * MINUTE]
    assert NOON + (end_ms - 1) * MINUTE in found
    assert len(found) == sum(len(tiles(view, inside)) for view in BUY.views)


def merged(view: ViewPlan) -> ViewPlan:
    """The view with hops of ten minutes: levels of one and of ten."""
    hops = replace(
        view, features=tuple(replace(feature, window=Sliding(size_ms=20 * MINUTE, hop_ms=10 * MINUTE)) for feature in view.features)
    )
    assert hops.levels_ms == (MINUTE, 10 * MINUTE)
    return hops


@pytest.mark.parametrize(
    ("from_ms", "until_ms", "archived", "intervals"),
    [
        (None, None, True, 2),
        (None, None, False, 2),
        (NOON + 14 * MINUTE, None, True, 1),
        (None, NOON + 15 * MINUTE, True, 1),
        (NOON + 25 * MINUTE, None, True, 0),
    ],
)
def test_a_correction_of_tiles_that_are_merged_has_all_that_were_merged_with_them(
    spark: SparkSession, tmp_path: Path, from_ms: int | None, until_ms: int | None, archived: bool, intervals: int
) -> None:
    late = {("ann", 13), ("bob", 23), ("ann", 29)}  # the last in a tile that is not closed yet
    rows: list[dict[str, Any]] = []
    for click in clicks():
        minute = (click["event_time"] - NOON) // MINUTE
        came_late = (click["user"], minute) in late
        late -= {(click["user"], minute)}  # the others of its tile were in time
        rows.append(click | {"_watermark_ms": NOON + (minute + 1) * MINUTE if came_late else None})
    assert not late
    view = merged(BUY.views[0])
    wanted = Wanted(
        views=(view,),
        schemas=shop.schemas(),
        events=history(tmp_path, rows),
        as_known=True,
        late_only=True,
        from_ms=from_ms,
        until_ms=until_ms,
    )
    found = {
        (row["user"], int(row["tile_start"].timestamp() * 1000)): row["count"]
        for part in closed(spark, wanted, closings(NOON + 28 * MINUTE), archived=archived)
        for _, own in staged(spark, part, tmp_path)
        for row in pq.read_table(own).to_pylist()
    }
    asked = [
        (row["user"], start // (10 * MINUTE))
        for row in rows
        if row["_watermark_ms"] is not None
        and (from_ms or 0) <= (start := row["event_time"] // MINUTE * MINUTE) < min(until_ms or LATER, NOON + 28 * MINUTE)
    ]
    known = {(row["user"], row["tile_start"]): row["count"] for row in tiles(view, rows).values()}
    expected = {
        (user, start): count
        for (user, start), count in known.items()
        if (user, start // (10 * MINUTE)) in asked and start < NOON + 28 * MINUTE
    }
    assert len(set(asked)) == intervals
    assert len(expected) >= 7 * intervals
    assert found == expected


def test_tiles_that_replace_others_are_of_whole_intervals(spark: SparkSession, tmp_path: Path) -> None:
    rows = archived()
    view = merged(BUY.views[0])
    wanted = Wanted(
        views=(view,),
        schemas=shop.schemas(),
        events=history(tmp_path, rows),
        as_known=True,
        late_only=False,
        from_ms=NOON + 4 * MINUTE,
        until_ms=NOON + 12 * MINUTE,
    )
    (part,) = closed(spark, wanted, closings(NOON + 25 * MINUTE), archived=True)
    ((_, own),) = staged(spark, part, tmp_path)
    assert len(pq.read_table(own)) == len(tiles(view, [row for row in rows if row["event_time"] < NOON + 20 * MINUTE]))


def test_a_view_that_has_closed_no_tile_has_none_to_win_over(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Wanted(views=BUY.views[:1], schemas=shop.schemas(), events=history(tmp_path, archived()), as_known=True, late_only=True)
    assert list(closed(spark, wanted, {}, archived=True)) == []
    assert capsys.readouterr().out == "user_clicks: the stream has closed no tile yet, so there is none to win over; nothing was made\n"


def test_tiles_that_workers_wrote_elsewhere_are_missed(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted(views=BUY.views[:1], schemas=shop.schemas(), events=history(tmp_path, archived()), as_known=True, late_only=False)
    monkeypatch.setattr("jobs.spark.tiles_of_history.parquet_files", lambda folder: ())
    with pytest.raises(SettingError, match=r"TIDEMARK_HOME: of [\d,]+ tiles that Spark wrote to .*user_clicks 0 are there"):
        list(staged(spark, wanted, tmp_path / "tiles"))


@pytest.mark.parametrize("command", [["bootstrap", "user_clicks"], ["bootstrap", "--replace"], ["correct"], ["rebuild"]])
def test_tiles_of_another_definition_are_refused_before_anything_is_touched(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(shop.DEFINITIONS))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(shop.SCHEMAS))
    before = view_record(replace(BUY.views[0], tile_ms=5 * MINUTE))
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")  # not asked: what it holds is told here
    monkeypatch.setattr(topic, "records", lambda settings: {"view/user_clicks": before})
    monkeypatch.setattr(admin, "written", lambda servers, names: set(names))
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith('tidemark: view "user_clicks" is not what topic tidemark.tiles.user_clicks holds tiles of: tile: 5m → 1m; ')


@pytest.mark.parametrize("command", ["bootstrap", "correct"])
def test_an_unknown_view_is_one_clear_line(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(shop.DEFINITIONS))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(shop.SCHEMAS))
    assert main([command, "user_click"]) == 2
    assert capsys.readouterr().err == 'tidemark: no feature view is named "user_click"; did you mean "user_clicks"?\n'
