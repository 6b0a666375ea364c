"""`jobs/features` on the real services: nothing is lost, nothing counted twice, and what is late or bad is where it belongs."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import pytest
from fastavro import parse_schema

from features.compiler.tile_schema import tile_avro_schema
from features.partials.map_partial import MapPartial
from features.plan import WRITTEN, ViewPlan
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages as read
from tests.e2e.readings import naive, stream
from tests.e2e.readings.run import (
    COUNT,
    Run,
    archived,
    closings,
    ends,
    generated,
    last_boundary,
    milliseconds,
    of_trusted,
    prepared,
    values,
    wait_for_the_end,
    wait_for_time,
)
from tests.e2e.readings.stream import PARTITIONS, Message, Reading
from tests.e2e.scoring import kill
from tests.naive_entries import entries, latest
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

KINDS: dict[str, Any] = {"killed": {}, "trusted": {"trusted": True}, "trusted2": {"trusted": True, "parallelism": 2}}


def letters(run: Run, topic: str, source: str, *, restarted: bool) -> dict[tuple[int, int], tuple[dict[str, str], Any]]:
    """Place of the original → headers and message; none twice, unless the job was restarted."""
    found = {}
    for message in read(Connection.of(run.settings), topic):
        headers = {name: value.decode() for name, value in cast(list[tuple[str, bytes]], message.headers())}
        assert headers["source_topic"] == run.plan.sources[source].topic
        assert headers["trace"] == "t"
        place = int(headers["source_partition"]), int(headers["source_offset"])
        assert restarted or place not in found, f"{place} is in {topic} twice"
        found[place] = (headers, message)
    return found


def expected_tiles(run: Run, view: ViewPlan) -> dict[naive.Tile, list[Reading]]:
    wanted = (lambda reading: True) if view.where is None else (lambda reading: reading["valid"])
    keys = tuple(key.name for key in view.keys)
    return naive.tiles(run.arrivals(view.source.name), keys=keys, tile_ms=view.tile_ms, once=view.source.id is not None, wanted=wanted)


def present(readings: list[Reading], field: str | None) -> list[Any]:
    """The values of a field that are not null."""
    return [reading[field] for reading in readings if field is not None and reading[field] is not None]


def ordered(text: str | None) -> str | None:
    """The entries of a map by their sub-keys' bytes; Flink writes them in any order."""
    return None if text is None else ",".join(sorted(text.split(","), key=lambda entry: (entry.split(" ", 1)[1].encode(), entry)))


def read_doubles(text: str | None) -> str | None:
    """The entries with doubles as Python writes them: Java's text of a double is another."""
    if text is None:
        return None
    return ",".join(f"{time} {float(value)}" for time, value in (entry.split(" ") for entry in text.split(",")))


def assert_tile(view: ViewPlan, record: dict[str, Any], readings: list[Reading]) -> None:
    for part in view.partials:
        field, tie, where = (None if each is None else each.columns[0] for each in (part.input, part.tie, part.where))
        expected = naive.expected(part.kind, readings, field, tie, where)
        got = tuple(record[column.name] for column in part.columns)
        if part.kind == "latest":
            assert field is not None
            counted = [reading for reading in readings if (where is None or reading[where]) and reading[field] is not None]
            at = [(reading["event_time"], reading[field]) for reading in counted]
            text = read_doubles(got[0]) if field == "level" else got[0]
            assert ordered(text) == ordered(latest(at, part.parameter or 1)), (part.name, got)
            continue
        if isinstance(part, MapPartial):
            counted = [reading for reading in readings if where is None or reading[where]]
            assert ordered(got[0]) == entries(part.kind, present(counted, field), part.parameter), (part.name, got)
            continue
        if part.kind == "moments":
            n, pivot, s1, s2 = got
            assert n == expected[0], (part.name, got, expected)
            if n > 1:
                size = max(abs(float(value) - pivot) for value in present(readings, field)) ** 2
                variance = (s2 - s1 * s1 / n) / (n - 1)
                assert math.isclose(variance, expected[1], rel_tol=1e-9, abs_tol=1e-12 * size), (part.name, got, expected)
        elif part.kind == "sum" and isinstance(expected[0], float):
            size = sum(abs(value) for value in present(readings, field))
            assert abs(got[0] - expected[0]) <= 1e-12 * size, (part.name, got, expected)
        else:
            assert got == expected, (part.name, got, expected)


def assert_exact(run: Run, *, restarted: bool) -> None:
    """Every message is on time, late, refused or a marker; each of these is where it belongs, and tiles are what a loop computes."""
    for source in run.streams:
        placed = run.placed(source)
        came = run.arrivals(source)
        assert len(placed) == len(run.streams[source])

        dead = letters(run, run.plan.sources[source].dead_letter_topic, source, restarted=restarted)
        assert {place: headers["reason"].split(":")[0] for place, (headers, _) in dead.items()} == {
            place: message.refused for place, message in placed.items() if message.refused
        }
        views = run.plan.views_of(source)
        behind = {
            (arrival.message.partition, arrival.message.offset): ",".join(view.name for view in views if not arrival.counts(view.tile_ms))
            for arrival in came
            if not all(arrival.counts(view.tile_ms) for view in views)
        }
        assert len(behind) > 20
        late = letters(run, run.plan.sources[source].late_topic, source, restarted=restarted)
        assert {place: headers["views"] for place, (headers, _) in late.items()} == behind
        for place, (_, letter) in (dead | late).items():
            original = placed[place]
            body = None if original.refused and run.plan.sources[source].trusted else original.body
            assert (letter.key(), letter.value()) == (original.key, body)
            assert letter.timestamp()[1] == original.timestamp_ms
        assert_archive(run, source, came)
    for view in run.plan.views.values():
        wanted = expected_tiles(run, view)
        records = values(run, view.tiles_topic, cast(dict[str, Any], parse_schema(tile_avro_schema(view))))
        found = {(tuple(record[key.name] for key in view.keys), milliseconds(record["tile_start"])): record for _, record in records}
        assert found.keys() == wanted.keys()
        assert restarted or len(records) == len(found), "a tile was emitted twice"
        for tile, record in found.items():
            assert_tile(view, record, wanted[tile])
        assert all(
            key is not None and key.decode() == "|".join(str(record[column.name]) for column in view.keys) and record["revision"] == 0
            for key, record in records
        )
        assert_closings(run, view, wanted, restarted=restarted)


def assert_archive(run: Run, source: str, came: list[naive.Arrival]) -> None:
    """Every reading once, late ones too, exactly as it was, with a watermark that its partition's messages so far justify."""
    rows = archived(run, source)
    assert len({row[WRITTEN] for row in rows}) <= 2, "files are laid by the day on which they were written, whatever days the events are of"
    found = {(row["_partition"], row["_offset"]): row for row in rows}
    assert len(rows) == len(found) == len(came), "an archived row is there twice, or missing"
    for arrival in came:
        row = found[arrival.message.partition, arrival.message.offset]
        for name, value in arrival.reading.items():
            got = row[name] if not hasattr(row[name], "timestamp") else milliseconds(row[name])
            assert got == value, (name, row, arrival)
        assert row["_arrived"] == arrival.message.timestamp_ms
    before: dict[int, int] = {}
    for message, bound in naive.bounds(run.streams[source]):
        watermark = found[message.partition, message.offset]["_watermark_ms"]
        if watermark is not None:
            assert before.get(message.partition, watermark) <= watermark <= bound
            before[message.partition] = watermark
    assert before.keys() == set(range(PARTITIONS))


def assert_closings(run: Run, view: ViewPlan, wanted: dict[naive.Tile, list[Reading]], *, restarted: bool) -> None:
    """One for every interval that has tiles and for the last boundary, in order, with the number of tiles."""
    counted = Counter(start + view.tile_ms for _, start in wanted)
    told = closings(run, view.name)
    assert restarted or [end for end, _ in told] == sorted({end for end, _ in told})
    by_end = defaultdict(set)
    for end, number in told:
        by_end[end].add(number)
    assert {end: numbers for end, numbers in by_end.items() if numbers != {0}} == {end: {number} for end, number in counted.items()}
    assert max(by_end) == last_boundary(run, view)


def test_a_replay_is_counted_exactly_and_everything_else_is_where_it_belongs(replay: Run) -> None:
    assert_exact(replay, restarted=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Half:
    """A job that has read half of its streams and kept a checkpoint of it."""

    run: Run
    final: list[Message]
    job: str

    @classmethod
    def of(cls, settings: Settings, folder: Path, name: str, *, trusted: bool = False, parallelism: int = 1) -> Self:
        own, plan = prepared(settings, folder / name, name, trusted=trusted)
        own = dataclasses.replace(own, parallelism=parallelism)
        streams = of_trusted(generated(plan)) if trusted else generated(plan)
        end_ms, final = ends(plan, streams)
        run = Run(settings=own, plan=plan, streams=streams, end_ms=end_ms)
        half = cls(run=run, final=final, job=flink_submission.submit("jobs.features", [], name=f"features-{name}", settings=own))
        half.publish(0, COUNT // 2)
        return half

    def publish(self, first: int, end: int | None) -> None:
        for name, messages in self.run.streams.items():
            stream.publish(self.run.settings.kafka_servers, self.run.plan.sources[name].topic, messages[first:end])

    def publish_the_rest(self) -> None:
        for name, messages in self.run.streams.items():
            self.run.streams[name] = [*messages, *map(dataclasses.replace, self.final)]
        self.publish(COUNT * 3 // 4, None)


def test_a_killed_worker_costs_nothing(settings: Settings, tmp_path: Path) -> None:
    """Of a source behind the gate, a trusted one, and a trusted one in two subtasks; one worker holds all three jobs."""
    cluster, halves = flink.Cluster(settings.flink_url), list[Half]()
    try:
        for name, kind in KINDS.items():
            halves.append(Half.of(settings, tmp_path, name, **kind))
        for half in halves:
            wait_for_time(half.run, COUNT // 2)
        before = [cluster.job(half.job).checkpoint for half in halves]
        for half, checkpoint in zip(halves, before, strict=True):
            eventually("a checkpoint that holds closed tiles", partial(has_another, cluster, half.job, checkpoint))
        for half in halves:
            half.publish(COUNT // 2, COUNT * 3 // 4)
        kill(settings, "flink-taskmanager")
        for half in halves:
            half.publish_the_rest()
        for half in halves:
            wait_for_the_end(half.run)
            eventually("the restart is told", partial(has_restarted, cluster, half.job))
            assert_exact(half.run, restarted=True)
    finally:
        for half in halves:
            cluster.cancel(half.job)


def has_another(cluster: flink.Cluster, job: str, checkpoint: str | None) -> bool:
    return cluster.job(job).checkpoint not in (None, checkpoint)


def has_restarted(cluster: flink.Cluster, job: str) -> bool:
    return cluster.job(job).restarts > 0
