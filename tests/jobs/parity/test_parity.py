"""Faults planted between the stream and the model are found: a real Valkey, the kernel, Spark; and without a fault nothing is."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features.plan import ServicePlan, ViewPlan
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter, tile_schema
from infra.settings import Settings
from jobs.cli.parity import features_report
from jobs.parity import features
from jobs.parity.features import ParityRequest
from jobs.parity.report import Report
from jobs.parity.tiles import compare_pairs, paired
from jobs.spark.history import History
from jobs.spark.session import session
from schemas.errors import DataError, ServiceError, SettingError
from tests import shop
from tests.inference.conftest import valkey
from tests.shop import MINUTE, NOON

__all__ = ["valkey"]
pytestmark = pytest.mark.e2e

PLAN = shop.plan()
BUY = PLAN.services["buy"]
USER, SHELF = BUY.views
CLICKS = USER.source
END = NOON + 30 * MINUTE
UTC_MS = pa.timestamp("ms", tz="UTC")

Click = dict[str, Any]
Tiles = dict[tuple[Any, ...], dict[str, Any]]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


@pytest.fixture
def client(valkey: str) -> Iterator[Client]:
    connected = connect(valkey)
    connected.flushall()
    yield connected
    connected.close()


def clicks() -> list[Click]:
    """Half an hour of them, several in a tile, amounts that do not add up exactly."""
    rng = random.Random(11)
    return [
        {
            "event_time": NOON + rng.randrange(30 * MINUTE),
            "user": rng.choice(["ann", "bob"]),
            "shop": 7,
            "shelf": rng.choice(["top", "low"]),
            "amount": rng.uniform(0.1, 9.0),
        }
        for _ in range(300)
    ]


def offers() -> list[dict[str, Any]]:
    """A request every ten seconds, the last ones within what is complete."""
    base = {"shop": 7, "price": 2.5, "colour": "red"}
    return [
        base
        | {"request_id": f"r{n:03}", "event_time": NOON + 6 * MINUTE + n * 10_000, "user": ["ann", "bob", "zoe"][n % 3], "shelf": "top"}
        for n in range(140)
    ]


def tiles(view: ViewPlan, counted: Sequence[Click]) -> Tiles:
    """What the stream would make of these clicks, by a plain loop."""
    groups: defaultdict[tuple[Any, ...], list[Click]] = defaultdict(list)
    for click in counted:
        start = click["event_time"] // view.tile_ms * view.tile_ms
        groups[(*(click[key.name] for key in view.keys), start)].append(click)
    found = {}
    for place, group in groups.items():
        amounts = [click["amount"] for click in reversed(group)]  # another order of summation than Spark's
        last = max(group, key=lambda click: (click["event_time"], click["amount"]))
        values = {
            "count": len(group),
            "sum_amount": sum(amounts),
            "max_amount": max(amounts),
            "last_amount": last["amount"],
            "last_amount__at": last["event_time"],
        }
        own = {column.name: values[column.name] for column in view.tile_columns}
        found[place] = own | dict(zip([*(key.name for key in view.keys), "tile_start"], place, strict=True)) | {"revision": 0}
    return found


@dataclass(kw_only=True)
class Stream:
    """What is between the clicks and the predictions; a fault changes a part of it.

    Attributes:
        counted: The clicks that the stream counts.
        tiles: View → the tiles that reach the store.
        closed_ms: Up to when closings reach it.
        service: As the reader sees it.
        ask_later_ms: By how much the reader misses a request's as-of time.
        claim_exact: Whether the stale flag gets lost.
    """

    counted: list[Click]
    tiles: dict[str, Tiles]
    closed_ms: int = END
    service: ServicePlan = BUY
    ask_later_ms: int = 0
    claim_exact: bool = False

    def predictions(self, client: Client, requests: pa.Table) -> pa.Table:
        """What is served."""
        for view in BUY.views:
            writer = TileWriter(view, RedisStore(client))
            rows = list(self.tiles[view.name].values())
            for end in range(NOON, self.closed_ms + 1, view.tile_ms):
                own = [row for row in rows if row["tile_start"] + view.tile_ms == end]
                if own:
                    writer.write(
                        pa.table({field.name: pa.array([row[field.name] for row in own], field.type) for field in tile_schema(view)})
                    )
                writer.close(end, len(own))
        asked = requests["event_time"]
        later = pa.array(np.asarray(asked.cast(pa.int64())) + self.ask_later_ms).cast(UTC_MS)
        place = requests.column_names.index("event_time")
        served = OnlineReader(self.service, RedisStore(client)).read(requests.set_column(place, "event_time", later)).table
        served = served.set_column(place, "event_time", asked)
        if self.claim_exact:
            served = served.set_column(served.column_names.index("stale"), "stale", pa.array([False] * len(served)))
        return served


def a_dropped_tile(stream: Stream) -> None:
    del stream.tiles["user_clicks"][("ann", NOON + 9 * MINUTE)]


def a_doubled_event(stream: Stream) -> None:
    stream.counted.append(next(click for click in stream.counted if click["user"] == "ann" and click["event_time"] > NOON + 10 * MINUTE))
    stream.tiles["user_clicks"] = tiles(USER, stream.counted)


def a_shifted_window(stream: Stream) -> None:
    stream.ask_later_ms = -MINUTE


def a_wrong_delay(stream: Stream) -> None:
    stream.service = replace(BUY, views=tuple(replace(view, delay_ms=0) for view in BUY.views))


def a_stale_frontier_that_nobody_admits(stream: Stream) -> None:
    stream.closed_ms = NOON + 15 * MINUTE
    stream.claim_exact = True


def a_frontier_ahead_of_its_tiles(stream: Stream) -> None:
    stream.tiles["shelf_clicks"] = {place: row for place, row in stream.tiles["shelf_clicks"].items() if place[-1] < NOON + 15 * MINUTE}


def nothing(stream: Stream) -> None:
    """The twin of every fault."""


def judged(
    spark: SparkSession, client: Client, folder: Path, plant: Callable[[Stream], None], *, late: Sequence[Click] = (), **options: Any
) -> Report:
    """Serve requests from a stream with a fault in it and compare with the history of the same clicks."""
    known = clicks()
    stream = Stream(counted=list(known), tiles={view.name: tiles(view, known) for view in BUY.views})
    plant(stream)
    schema = pa.schema([(name, type_.arrow) for name, type_ in BUY.request.columns.items()])
    requests = pa.Table.from_pylist(offers(), schema=schema)
    (folder / "events" / "clicks").mkdir(parents=True)
    rows = [click | {"_watermark_ms": None} for click in known] + list(late)
    types = {name: type_.arrow for name, type_ in CLICKS.columns.items()} | {"_watermark_ms": pa.int64()}
    history = pa.table({name: pa.array([row[name] for row in rows], type_) for name, type_ in types.items()})
    pq.write_table(history, folder / "events" / "clicks" / "a.parquet")
    pq.write_table(requests, folder / "requests.parquet")
    pq.write_table(stream.predictions(client, requests), folder / "predictions.parquet")
    question = ParityRequest(
        service=BUY,
        settings=Settings.load(environ={"TIDEMARK_HOME": str(folder)}, folder=folder),
        schemas=shop.schemas(),
        events=folder / "events",
        predictions=folder / "predictions.parquet",
        requests=folder / "requests.parquet",
        **options,
    )
    return asked(spark, question, folder)


def asked(spark: SparkSession, question: ParityRequest, folder: Path) -> Report:
    work = folder / "work"
    work.mkdir()
    answer = features.answer(question, work, lambda _: nullcontext(), spark=lambda _: nullcontext(spark))
    return features_report(question, answer)


def differing(report: Report) -> set[str]:
    return {column.name for column in report.parity.columns if column.different}


def test_without_a_fault_everything_is_equal_and_sums_differ_by_less_than_they_may(
    spark: SparkSession, client: Client, tmp_path: Path
) -> None:
    report = judged(spark, client, tmp_path, nothing)
    assert report.problems == []
    assert report.parity.summary() == {"compared": 140 * 7, "equal": 140 * 7, "different": 0, "missing": 0, "extra": 0}
    assert report.parity.stale.count == 0
    largest = {column.name: column.largest for column in report.parity.columns}
    assert {name for name, size in largest.items() if size} == {"spent_5m"}
    assert all(column.empty < column.compared for column in report.parity.columns)


@pytest.mark.parametrize(
    ("plant", "features_hit"),
    [
        (a_dropped_tile, {"clicks_5m", "spent_5m"}),
        (a_doubled_event, {"clicks_5m", "spent_5m"}),
        (a_shifted_window, {"clicks_5m", "spent_5m", "last_amount_10m", "shelf_clicks_5m", "shelf_most_5m"}),
        (a_wrong_delay, {"clicks_5m", "spent_5m", "last_amount_10m", "shelf_clicks_5m", "shelf_most_5m"}),
        (a_stale_frontier_that_nobody_admits, {"clicks_5m", "spent_5m", "last_amount_10m", "shelf_clicks_5m", "shelf_most_5m"}),
        (a_frontier_ahead_of_its_tiles, {"shelf_clicks_5m", "shelf_most_5m"}),
    ],
)
def test_a_planted_fault_is_found(
    spark: SparkSession, client: Client, tmp_path: Path, plant: Callable[[Stream], None], features_hit: set[str]
) -> None:
    report = judged(spark, client, tmp_path, plant)
    assert report.problems
    assert features_hit - {"last_amount_10m"} <= differing(report) <= features_hit | {"last_amount_10m"}
    assert report.parity.different_rows < 140
    for column in report.parity.columns:
        assert len(column.examples) == min(5, column.different)


def test_a_dropped_tile_is_shown_by_its_window_and_the_side_that_has_it(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    report = judged(spark, client, tmp_path, a_dropped_tile)
    counts = next(column for column in report.parity.columns if column.name == "clicks_5m")
    for example in counts.examples:
        boundary = int((example.at_ms - USER.delay_ms) // MINUTE * MINUTE)
        assert boundary - 5 * MINUTE <= NOON + 9 * MINUTE < boundary
        lost = sum(click["user"] == "ann" and NOON + 9 * MINUTE <= click["event_time"] < NOON + 10 * MINUTE for click in clicks())
        assert (example.key["user"], example.history - example.online) == ("ann", lost)
    evidence = report.evidence_by_column()["clicks_5m"][0][1]
    assert evidence is not None
    assert (evidence.view, evidence.key, evidence.high_ms - evidence.low_ms) == ("user_clicks", {"user": "ann"}, 5 * MINUTE)
    assert "tiles topic cannot be read" in evidence.note  # there is no Kafka in this test; tests/e2e has one


def test_stale_predictions_are_no_fault_as_long_as_they_say_so(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    def the_frontier_stands_still(stream: Stream) -> None:
        stream.closed_ms = NOON + 15 * MINUTE

    report = judged(spark, client, tmp_path, the_frontier_stands_still)
    assert report.problems == []
    stale = [offer for offer in offers() if (offer["event_time"] - USER.delay_ms) // MINUTE * MINUTE > NOON + 15 * MINUTE]
    assert report.parity.stale.count == len(stale)
    assert report.parity.stale.first[0].note == "1 min behind"
    assert report.parity.columns[0].compared == 140 - len(stale)


def test_a_frontier_that_stood_still_from_the_start_proves_nothing(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    def no_frontier(stream: Stream) -> None:
        stream.closed_ms = NOON

    report = judged(spark, client, tmp_path, no_frontier)
    assert report.problems == ["nothing was compared: every prediction was stale"]


def test_a_stale_frontier_is_told_by_the_claim_as_well_as_by_the_values(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    report = judged(spark, client, tmp_path, a_stale_frontier_that_nobody_admits)
    assert report.parity.unbacked.count > 0
    assert report.parity.unbacked.first[0].note == "its frontier is 1 min behind"


def sample_rank(request_id: str) -> str:
    """Where a request stands in a sample: what Spark's `sha2(id, 256)` is said to be."""
    return hashlib.sha256(request_id.encode()).hexdigest()


def test_the_sample_is_a_stable_function_of_the_request_id() -> None:
    ids = [f"r{number}" for number in range(100)]
    taken = sorted(ids, key=sample_rank)[:10]
    assert sorted(set(ids), key=sample_rank)[:10] == taken
    assert set(sorted([*ids, "another"], key=sample_rank)[:10]) <= {*taken, "another"}


def test_a_sample_is_always_the_same_and_says_the_same(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    report = judged(spark, client, tmp_path, nothing, sample=20)
    assert report.problems == []
    assert {column.compared for column in report.parity.columns} == {20}
    assert report.facts["recomputed"] == 20
    recomputed = pq.read_table(tmp_path / "work" / "again")["request_id"].to_pylist()
    assert sorted(map(str, recomputed)) == sorted(sorted((offer["request_id"] for offer in offers()), key=sample_rank)[:20])


def test_late_events_are_a_difference_only_as_known(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    at = NOON + 9 * MINUTE + 1
    late = [{"event_time": at, "user": "ann", "shop": 7, "shelf": "top", "amount": 1.0, "_watermark_ms": at + MINUTE}]
    (tmp_path / "served").mkdir()
    (tmp_path / "known").mkdir()
    assert judged(spark, client, tmp_path / "served", nothing, late=late).problems == []
    client.flushall()
    report = judged(spark, client, tmp_path / "known", nothing, late=late, as_known=True)
    assert {"clicks_5m", "spent_5m", "shelf_clicks_5m"} <= differing(report)


def test_only_the_asked_time_is_compared(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    report = judged(spark, client, tmp_path, nothing, from_ms=NOON + 10 * MINUTE, until_ms=NOON + 20 * MINUTE)
    assert (report.problems, report.parity.rows) == ([], 60)
    assert NOON + 10 * MINUTE <= report.low_ms <= report.high_ms < NOON + 20 * MINUTE


def test_what_cannot_be_compared_is_one_clear_line(spark: SparkSession, client: Client, tmp_path: Path) -> None:
    judged(spark, client, tmp_path, nothing)
    question = ParityRequest(
        service=BUY,
        settings=Settings.load(environ={"TIDEMARK_HOME": str(tmp_path)}, folder=tmp_path),
        schemas=shop.schemas(),
        events=tmp_path / "events",
        predictions=tmp_path / "predictions.parquet",
    )

    def refused(kind: type[Exception], match: str, **changed: Any) -> None:
        with pytest.raises(kind, match=match):
            features.answer(replace(question, **changed), tmp_path / "other", lambda _: nullcontext(), spark=lambda _: nullcontext(spark))

    refused(DataError, r"^parity: .*has no predictions of these times; nothing can be compared$", from_ms=END + MINUTE)
    refused(SettingError, r"^--requests: .* does not exist", requests=tmp_path / "nowhere")
    refused(
        SettingError, r"^--predictions: .* does not exist; it is a Parquet file, or a folder of them$", predictions=tmp_path / "nowhere"
    )
    refused(DataError, r"^--predictions: .*: no column clicks_5m", predictions=tmp_path / "requests.parquet")
    refused(ServiceError, r"^kafka: no embedded runtime .*start it with `tidemark up`, or set TIDEMARK_KAFKA$", predictions=None)


# --- tiles beside tiles


@pytest.mark.parametrize("fault", ["none", "dropped", "added", "doubled", "as known"])
def test_tiles_are_compared_without_any_prediction(spark: SparkSession, tmp_path: Path, fault: str) -> None:
    known = clicks()
    online = tiles(USER, known + ([known[0]] if fault == "doubled" else []))
    place = ("ann", NOON + 9 * MINUTE)
    if fault == "dropped":
        del online[place]
    if fault == "added":
        online["eve", place[1]] = online[place] | {"user": "eve"}
    late = {"event_time": place[1] + 1, "user": "ann", "shop": 7, "shelf": "top", "amount": 99.0, "_watermark_ms": place[1] + MINUTE}
    rows = [click | {"_watermark_ms": None} for click in known] + [late]
    types = {name: type_.arrow for name, type_ in CLICKS.columns.items()} | {"_watermark_ms": pa.int64()}
    (tmp_path / "events" / "clicks").mkdir(parents=True)
    history = pa.table({name: pa.array([row[name] for row in rows], type_) for name, type_ in types.items()})
    pq.write_table(history, tmp_path / "events" / "clicks" / "a.parquet")
    past = History(spark=spark, schemas=shop.schemas(), events=tmp_path / "events", as_known=fault == "as known")
    sent = pa.table({field.name: pa.array([row[field.name] for row in online.values()], field.type) for field in tile_schema(USER)})
    paired(USER, spark.createDataFrame(sent), past.tiles(USER, NOON, END)).write.parquet(str(tmp_path / "pairs"))
    parity = compare_pairs(USER, tmp_path / "pairs")
    hit = {column.name: column.different for column in parity.columns if column.different}
    assert parity.allowed is (fault == "none")
    assert (parity.missing.count, parity.extra.count) == (int(fault == "dropped"), int(fault == "added"))
    assert hit == {"doubled": {"count": 1, "sum_amount": 1}}.get(fault, hit if fault == "as known" else {})
    if fault == "as known":
        assert {"count", "sum_amount"} <= set(hit)
    assert parity.rows == len(online)
    if fault == "dropped":
        assert (parity.missing.first[0].name, parity.missing.first[0].at_ms) == place
    assert parity.timeline is not None
    assert int(parity.timeline.different.sum()) == (0 if fault == "none" else 1)
