"""The job of features over a stream of readings: its own names for all topics, what is published, and what can be read of the results."""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow.dataset as ds
from fastavro import parse_schema, schemaless_reader

from features.catalog import load
from features.compiler.tile_schema import tile_avro_schema
from features.plan import FRONTIER_TOPIC, Plan, ViewPlan
from infra.settings import Settings
from jobs.kafka.admin import create
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages as read
from schemas.schema import SchemaSet
from schemas.wire import encode, marker
from tests.e2e.readings import naive, stream
from tests.e2e.readings.stream import LATENESS_MS, PARTITIONS, Message
from tests.waiting import eventually

FOLDER = Path(__file__).parent
COUNT = 6_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A stream that went through the job, per source, and where the results are."""

    settings: Settings
    plan: Plan
    streams: dict[str, list[Message]]
    end_ms: int

    def arrivals(self, source: str) -> list[naive.Arrival]:
        """Every reading with the watermark that the archive says decided over it."""
        told = {(row["_partition"], row["_offset"]): row["_watermark_ms"] for row in archived(self, source)}
        return [
            naive.Arrival(message=message, reading=message.reading, watermark_ms=told[message.partition, message.offset])
            for message in self.streams[source]
            if message.reading is not None
        ]

    def placed(self, source: str) -> dict[tuple[int, int], Message]:
        return {(message.partition, message.offset): message for message in self.streams[source]}


def prepared(settings: Settings, folder: Path, prefix: str, *, trusted: bool = False) -> tuple[Settings, Plan]:
    """The definitions under names of their own, and their topics; of sources that are trusted or not."""
    definitions = folder / "definitions"
    shutil.copytree(FOLDER / "definitions", definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        text = file.read_text().replace("lateness=lateness", f"lateness=lateness, trusted={trusted}")
        file.write_text(text.replace("e2e.", f"{prefix}.").replace("once", f"{prefix}_once").replace("every", f"{prefix}_every"))
    own = dataclasses.replace(settings, definitions=definitions, schemas=FOLDER / "schemas", partitions=PARTITIONS, idle_timeout_ms=300_000)
    plan = load(own.definitions, own.schemas)
    create(
        Connection.of(own),
        [source.topic for source in plan.sources.values()],
        partitions=PARTITIONS,
        replication=1,
        config={"max.message.bytes": str(8 << 20)},
    )
    return own, plan


def generated(plan: Plan) -> dict[str, list[Message]]:
    schema = SchemaSet.load(FOLDER / "schemas").current("reading")
    sources = sorted({view.source.name for view in plan.views.values()})
    return {name: list(stream.messages(schema, seed=seed, count=COUNT)) for seed, name in enumerate(sources)}


def of_trusted(streams: dict[str, list[Message]]) -> dict[str, list[Message]]:
    """What a trusted source may hold: readings, and, against all promises, some that say to be of another schema; tombstones are passed over."""
    becomes = {None: None, "unknown-fingerprint": "schema", "tombstone": None}
    return {
        name: [
            dataclasses.replace(message, refused=becomes[message.refused])
            for message in messages
            if message.marks is None and message.refused in becomes
        ]
        for name, messages in streams.items()
    }


def ends(plan: Plan, streams: dict[str, list[Message]]) -> tuple[int, list[Message]]:
    """End markers, ten minutes after everything; where sources are trusted, readings of no meter, which no view counts."""
    end_ms = max(message.reading["event_time"] for each in streams.values() for message in each if message.reading) + 600_000
    if all(plan.sources[name].trusted for name in streams):
        last = next(message.reading for each in streams.values() for message in each if message.reading) | {
            "meter": None,
            "event_time": end_ms,
        }
        body = encode(SchemaSet.load(FOLDER / "schemas").current("reading"), last)
        return end_ms, [Message(partition=number, timestamp_ms=end_ms, key=b"end", body=body, reading=last) for number in range(PARTITIONS)]
    return end_ms, [
        Message(partition=number, timestamp_ms=end_ms, key=None, body=marker(end_ms, final=True), marks=end_ms)
        for number in range(PARTITIONS)
    ]


def values(run: Run, topic: str, schema: Mapping[str, Any]) -> list[tuple[bytes | None, dict[str, Any]]]:
    """Key and record of every message."""
    parsed, found = dict(schema), list[tuple[bytes | None, dict[str, Any]]]()
    for message in read(Connection.of(run.settings), topic):
        record = schemaless_reader(io.BytesIO(message.value() or b""), parsed, None)
        assert isinstance(record, dict)
        found.append((message.key(), record))
    return found


def tile_records(run: Run, view: ViewPlan) -> dict[naive.Tile, dict[str, Any]]:
    """The tiles of a view, the last copy of each."""
    records = values(run, view.tiles_topic, cast(dict[str, Any], parse_schema(tile_avro_schema(view))))
    return {(tuple(record[key.name] for key in view.keys), milliseconds(record["tile_start"])): record for _, record in records}


def milliseconds(value: Any) -> int:
    """A datetime as ms since the epoch; of Flink's Parquet files it is UTC without saying so."""
    delta: timedelta = (value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH
    return delta // timedelta(milliseconds=1)


def closings(run: Run, view: str) -> list[tuple[int, int]]:
    """(tile end, tiles) of a view, in the order of its partition."""
    records = [record for _, record in values(run, FRONTIER_TOPIC, SchemaSet.load().current("closing").avro)]
    return [(milliseconds(record["tile_end"]), record["tiles"]) for record in records if record["view"] == view]


def last_boundary(run: Run, view: ViewPlan) -> int:
    return (run.end_ms - LATENESS_MS + 1) // view.tile_ms * view.tile_ms


def wait_for_the_end(run: Run) -> None:
    for view in run.plan.views.values():
        eventually(f"the last closing of {view.name}", partial(is_closed, run, view))


def wait_for_time(run: Run, count: int) -> None:
    """Wait until event time is as far as so many messages of each stream tell: what is older then is late."""
    for view in run.plan.views.values():
        reached: dict[int, int] = {}
        for message, bound_ms in naive.bounds(run.streams[view.source.name][:count]):
            reached[message.partition] = bound_ms
        boundary_ms = (min(reached.values()) + 1) // view.tile_ms * view.tile_ms
        eventually(f"what is before {boundary_ms} of {view.name} is closed", partial(_closed_up_to, run, view, boundary_ms))


def _closed_up_to(run: Run, view: ViewPlan, boundary_ms: int) -> bool:
    return any(end >= boundary_ms for end, _ in closings(run, view.name))


def is_closed(run: Run, view: ViewPlan) -> bool:
    return last_boundary(run, view) in dict(closings(run, view.name))


def archived(run: Run, source: str) -> list[dict[str, Any]]:
    """All rows, once as many are there as there should be, which may take a checkpoint."""
    folder, expected = run.settings.home / "archive" / source, sum(message.reading is not None for message in run.streams[source])

    def rows() -> list[dict[str, Any]]:
        found = ds.dataset(folder, format="parquet", partitioning="hive").to_table().to_pylist() if folder.is_dir() else []
        return found if len(found) >= expected else []

    return eventually(f"{expected} rows in {folder}", rows)
