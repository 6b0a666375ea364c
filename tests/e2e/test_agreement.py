"""Four ways to a value, one meaning: the tiles of Flink and of Spark, the online read and the backfill, each against nested loops over the events."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import features
from features.plan import FRONTIER_TOPIC, ServicePlan, ViewPlan
from features.point_in_time import AS_OF, ROW, Folder
from features.vocabulary.aggregation import Aggregation, Lifetime
from inference.materializer import Materializer
from inference.online.reader import OnlineReader
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter, tile_schema
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.spark import backfill
from jobs.spark.history import History
from jobs.spark.session import session
from schemas.schema import SchemaSet
from tests.e2e.readings import naive
from tests.e2e.readings.agreement import LANES, Agreement, apart, row_of, table, without_figures_seen
from tests.e2e.readings.questions import LEVELS, PLACES
from tests.e2e.readings.run import FOLDER, Run, last_boundary, milliseconds, tile_records
from tests.oracle import aggregate, counted

pytestmark = pytest.mark.e2e

DOC = Path(__file__).parents[2] / "docs" / "concepts.md"
BEGIN, END = "<!-- agreement: written by `make agreement` -->", "<!-- /agreement -->"
ASKED = 300
FOREVER_MS = 1 << 52


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("agreement") as running:
        yield running


def questions(run: Run, service: ServicePlan) -> pa.Table:
    """Times all over the stream, at edges of tiles, long after a meter fell silent; meters that are there, that never were, and null."""
    dice = random.Random(7)
    view = service.views[0]
    first = min(message.timestamp_ms for each in run.streams.values() for message in each)
    last = last_boundary(run, view) + view.delay_ms + view.tile_ms - 1  # the newest time with an exact answer
    busy = last - 8 * view.tile_ms  # the end markers are ten minutes behind the last reading
    edges = [edge * view.tile_ms + view.delay_ms + off for edge in range(first // view.tile_ms, busy // view.tile_ms) for off in (-1, 0)]
    rows = [
        {
            "question_id": f"q{number}",
            "event_time": dice.choice([dice.choice(edges), dice.choice(edges), dice.randrange(first, busy), dice.randrange(first, last)]),
            "meter": dice.choice([None, "nobody", *(f"m{meter}|é" for meter in range(12))]),
            "room": dice.randrange(-2, 3),
        }
        for number in range(ASKED)
    ]
    return pa.Table.from_pylist(rows, schema=SchemaSet.load(FOLDER / "schemas").current("question").arrow)


def folded(service: ServicePlan, asked: pa.Table, tiles: Mapping[str, pa.Table]) -> pa.Table:
    """The kernel's values of tiles that are all in memory."""
    requests = asked.append_column(ROW, pa.array(range(asked.num_rows), pa.int64()))
    requests = requests.append_column(AS_OF, asked.column("event_time").cast(pa.int64()))
    columns: dict[str, pa.ChunkedArray[Any]] = {}
    for view in service.views:
        values = Folder(view=view)(requests, tiles[view.name])
        columns |= {feature.name: values.column(feature.name) for feature in view.features}
    return pa.table(columns)


def flink_tiles(run: Run, view: ViewPlan) -> pa.Table:
    return pa.Table.from_pylist(list(tile_records(run, view).values()), schema=tile_schema(view))


def served(run: Run, service: ServicePlan, asked: pa.Table) -> pa.Table:
    """What the store says after everything was written to it, in batches of any size."""
    client, project = connect(run.settings.redis_url), f"agreement_{service.name}"
    writers = {view.name: TileWriter(view, RedisStore(client), project=project) for view in service.views}
    schemas = SchemaSet.load()
    store = Materializer(views=service.views, writers=writers, frontiers=RedisStore(client).frontiers(project=project), schemas=schemas)
    for topic in (*(view.tiles_topic for view in service.views), FRONTIER_TOPIC):
        bodies = [message.value() for message in messages(Connection.of(run.settings), topic)]
        for first in range(0, len(bodies), 700):
            store.write([topic] * len(bodies[first : first + 700]), bodies[first : first + 700])
    answer = OnlineReader(service, RedisStore(client), project=project).read(asked)
    assert not any(answer.table.column("stale").to_pylist())
    return answer.table


def computed(run: Run, service: ServicePlan, asked: pa.Table, spark: SparkSession, folder: Path) -> pa.Table:
    requests, out = folder / "requests.parquet", folder / service.name
    pq.write_table(asked, requests)
    out.mkdir()
    schemas = SchemaSet.load(FOLDER / "schemas")
    wanted = backfill.Backfill(service=service, schemas=schemas, events=run.settings.home / "archive", requests=requests)
    assert backfill.compute(spark, wanted, out).whole
    rows = {row["question_id"]: row for file in out.glob("*.parquet") for row in pq.read_table(file).to_pylist()}
    return pa.Table.from_pylist([rows[name] for name in asked.column("question_id").to_pylist()])


def expected(run: Run, service: ServicePlan, asked: pa.Table) -> list[tuple[dict[str, Any], dict[str, Sequence[Mapping[str, Any]]]]]:
    """For every question the oracle's answers, and the events that each is made of."""
    found: list[tuple[dict[str, Any], dict[str, Sequence[Mapping[str, Any]]]]] = [({}, {}) for _ in range(asked.num_rows)]
    for view, asks in zip(service.views, (LEVELS, PLACES), strict=True):
        keys = tuple(key.name for key in view.keys)
        once, wanted = (
            view.source.id is not None,
            (lambda reading: True) if view.where is None else (lambda reading: bool(reading["valid"])),
        )
        by_key = defaultdict[tuple[Any, ...], list[Mapping[str, Any]]](list)
        arrivals = run.arrivals(view.source.name)
        for (key, _), readings in naive.tiles(arrivals, keys=keys, tile_ms=view.tile_ms, once=once, wanted=wanted).items():
            by_key[key] += readings
        for row, request in enumerate(asked.to_pylist()):
            own = by_key.get(tuple(request[name] for name in keys), [])
            boundary = (milliseconds(request["event_time"]) - view.delay_ms) // view.tile_ms * view.tile_ms
            for question in asks:
                events = counted(question, own, "event_time", boundary)
                found[row][0][question.name] = aggregate(question, events, "event_time")
                found[row][1][question.name] = events
    return found


def test_every_aggregation_is_the_oracle_in_every_engine(
    replay: Run, spark: SparkSession, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rows: dict[str, Agreement] = {}
    wrong: list[str] = []
    for service in replay.plan.services.values():
        asked = questions(replay, service)
        history = History(spark=spark, schemas=SchemaSet.load(FOLDER / "schemas"), events=replay.settings.home / "archive", as_known=False)
        lanes = {
            "Flink tiles": folded(service, asked, {view.name: flink_tiles(replay, view) for view in service.views}),
            "Spark tiles": folded(service, asked, {view.name: history.tiles(view, None, FOREVER_MS).toArrow() for view in service.views}),
            "online read": served(replay, service, asked),
            "Spark backfill": computed(replay, service, asked, spark, tmp_path),
        }
        assert tuple(lanes) == LANES
        truth = expected(replay, service, asked)
        for question in (*LEVELS, *PLACES):
            name, bound = row_of(question)
            row = rows.setdefault(name, Agreement(bound=bound))
            row.values += asked.num_rows
            for lane, values in lanes.items():
                for number, got in enumerate(values.column(question.name).to_pylist()):
                    said, events = truth[number]
                    distance = apart(question, got, said[question.name], events[question.name])
                    row.take(lane, distance)
                    if distance > bound:
                        wrong.append(
                            f"{service.name} {question.name} {lane}: {got!r}, not {said[question.name]!r}: {asked.slice(number, 1).to_pylist()}"
                        )
    assert not wrong, "\n".join(wrong[:20])
    vocabulary = {name for name in features.__all__ if issubclass(getattr(features, name), (Aggregation, Lifetime))}
    assert {re.sub(r"\W.*", "", name.strip("`")) for name in rows} == vocabulary, "an aggregation is not in the table"
    text = table(rows, requests=2 * ASKED)
    published = DOC.read_text()
    before, _, rest = published.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if request.config.getoption("--publish"):
        DOC.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    else:
        assert without_figures_seen(shown.strip()) == without_figures_seen(text), "run `make agreement`"
