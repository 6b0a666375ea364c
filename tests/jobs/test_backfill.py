"""The backfill says what the oracle says, whoever wrote the files, and names what it cannot read."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features.catalog import load
from features.compiler.spark import WATERMARK
from features.plan import Plan
from features.versions.data_version import DataVersion
from features.vocabulary.derived import DerivedFeature, derived_feature
from infra.settings import Settings
from jobs.cli.main import main
from jobs.spark import backfill
from jobs.spark.backfill import Backfill
from jobs.spark.run_summary import RunSummary
from jobs.spark.session import session
from schemas.errors import DataError, SettingError, TidemarkError
from schemas.schema import SchemaSet

pytestmark = pytest.mark.e2e

NOON_MS = 1_380_628_800_000
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load(None, None)


@pytest.fixture(scope="module")
def of_small(spark: SparkSession, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What the backfill says of the small inputs."""
    folder = tmp_path_factory.mktemp("small")
    return run(spark, backfill_of(small(folder), plan), folder / "out")[0]


def backfill_of(folder: Path, plan: Plan, **options: Any) -> Backfill:
    from schemas.schema import SHIPPED

    return Backfill(
        service=plan.services["flight_delay"],
        schemas=SchemaSet.load(SHIPPED),
        events=folder / "events",
        requests=folder / "requests.parquet",
        **options,
    )


def departure(number: int, at_ms: int, **fields: Any) -> dict[str, Any]:
    base = {"flight_id": f"d{number}", "event_time": at_ms, "carrier": "AA", "flight": number, "tailnum": "N1", "origin": "JFK"}
    return base | {"dest": "LAX", "distance": 2475.0, "sched_dep": at_ms, "dep_delay": float(number)} | fields


def arrival(number: int, at_ms: int, **fields: Any) -> dict[str, Any]:
    base = {"flight_id": f"r{number}", "event_time": at_ms, "carrier": "AA", "tailnum": "N1", "origin": "JFK", "dest": "LAX"}
    return base | {"arr_delay": 10.0 * number} | fields


def request(number: int, at_ms: int, **fields: Any) -> dict[str, Any]:
    base = {"request_id": f"r{number}", "event_time": at_ms, "flight_id": f"r{number}", "carrier": "AA", "flight": number, "tailnum": "N1"}
    times = {"sched_dep": at_ms + 30 * MINUTE_MS, "hour": 8, "minute": 0, "weekday": 1, "month": 10}
    return base | {"origin": "JFK", "dest": "LAX", "distance": 2475.0} | times | fields


INSTANTS = ("event_time", "sched_dep")
UTC_MS = pa.timestamp("ms", tz="UTC")


def written(path: Path, rows: list[dict[str, Any]], *, time: Any = UTC_MS, types: dict[str, Any] | None = None, **options: Any) -> Path:
    """Rows as a Parquet file; `time` says how instants are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = pa.array([row[name] for row in rows], pa.int64() if name in INSTANTS else (types or {}).get(name))
        if name in INSTANTS:
            scale = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}[time.unit]
            values = pa.array([None if v.as_py() is None else v.as_py() * scale for v in values], pa.int64()).cast(time)
        columns[name] = values
    pq.write_table(pa.table(columns), path, **options)
    return path


def small(folder: Path) -> Path:
    """A few flights: an hour of departures every ten minutes, two arrivals, two requests."""
    written(folder / "events" / "departures" / "a.parquet", [departure(n, NOON_MS + n * 10 * MINUTE_MS) for n in range(6)])
    written(folder / "events" / "arrivals" / "a.parquet", [arrival(n, NOON_MS + n * 20 * MINUTE_MS) for n in range(1, 3)])
    written(folder / "requests.parquet", [request(2, NOON_MS + HOUR_MS), request(1, NOON_MS, tailnum=None)])
    return folder


def run(spark: SparkSession, wanted: Backfill, out: Path) -> tuple[pa.Table, RunSummary]:
    out.mkdir()
    summary = backfill.compute(spark, wanted, out)
    return pq.read_table(out), summary


def load_factor(origin_departures_1h: Any, distance: Any) -> Any:
    return np.log1p(origin_departures_1h) / distance


def test_derived_features_are_the_functions_of_the_row_as_read_online(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    wanted = backfill_of(small(tmp_path), plan)
    derived = derived_feature("load_factor", load_factor)
    assert isinstance(derived, DerivedFeature)
    table, _ = run(spark, replace(wanted, service=replace(wanted.service, derived=(derived,))), tmp_path / "out")
    assert table.column_names[-3:] == ["load_factor", "frontier", "stale"]
    columns = {name: table[name].combine_chunks() for name in derived.inputs}
    assert table["load_factor"].combine_chunks().equals(derived.evaluate(columns))
    assert None not in table["load_factor"].to_pylist()


def test_the_output_is_request_columns_features_frontier_stale_in_the_order_of_the_requests(
    spark: SparkSession, plan: Plan, tmp_path: Path
) -> None:
    service = plan.services["flight_delay"]
    table, summary = run(spark, backfill_of(small(tmp_path), plan, label=True), tmp_path / "out")
    own = [name for name in service.feature_types if name not in service.request.columns]
    assert table.column_names == [*service.request.columns, *own, "frontier", "stale", "label"]
    assert table["request_id"].to_pylist() == ["r2", "r1"]
    assert table["frontier"].cast(pa.int64()).to_pylist() == [NOON_MS + HOUR_MS - 5 * MINUTE_MS, NOON_MS - 5 * MINUTE_MS]
    assert (table["stale"].to_pylist(), table["label"].to_pylist()) == ([False, False], [True, False])
    for name, type_ in service.feature_types.items():
        assert table[name].type == type_.arrow
    at_one, at_noon = table.to_pylist()
    # As of 13:00 the five-minute tiles up to 12:55 are in: 12:00, 12:10, … 12:50.
    assert (at_one["origin_departures_1h"], at_one["origin_dep_delay_mean_1h"], at_one["origin_dep_delay_max_3h"]) == (6, 2.5, 5.0)
    assert math.isclose(at_one["origin_dep_delay_std_3h"], np.std(range(6), ddof=1))
    assert (at_one["dest_arrivals_3h"], at_one["aircraft_last_arr_delay_12h"]) == (2, 20.0)
    assert (at_noon["origin_departures_1h"], at_noon["origin_dep_delay_mean_1h"], at_noon["aircraft_last_arr_delay_12h"]) == (0, None, None)
    assert {tally.name: (tally.rows, tally.refused) for tally in summary.tallies} == {
        "--requests": (2, 0),
        "departures": (6, 0),
        "arrivals": (2, 0),
    }


@pytest.mark.parametrize(
    ("time", "options"),
    [
        (pa.timestamp("us", tz="America/New_York"), {}),
        (pa.timestamp("ns"), {"use_deprecated_int96_timestamps": True}),
        (UTC_MS, {"compression": "zstd", "use_dictionary": False, "version": "1.0"}),
    ],
    ids=str,
)
def test_files_from_elsewhere_say_the_same(
    spark: SparkSession, plan: Plan, of_small: pa.Table, tmp_path: Path, time: pa.DataType, options: dict[str, Any]
) -> None:
    """Laid out in folders, other types, stored otherwise; what every reader takes is in tests/schemas and test_tables.py."""
    small(tmp_path)
    other = {
        "flight": pa.int16(),
        "distance": pa.float32(),
        "carrier": pa.dictionary(pa.int32(), pa.string()),
        "hour": pa.uint8(),
        "origin": pa.large_string(),
    }
    departures = [departure(n, NOON_MS + n * 10 * MINUTE_MS) for n in range(6)]
    nested = tmp_path / "events" / "departures"
    (nested / "a.parquet").unlink()
    written(nested / "day=2013-10-01" / "part-0", departures[:3], time=time, types=other, **options)
    written(nested / "b.parquet", [row | {"more": "columns"} for row in departures[3:]])  # stored otherwise, read as one
    (nested / "_SUCCESS").write_text("")
    (nested / ".part-1.inprogress").write_text("half")
    written(
        tmp_path / "requests.parquet", [request(2, NOON_MS + HOUR_MS), request(1, NOON_MS, tailnum=None)], time=time, types=other, **options
    )
    table, _ = run(spark, backfill_of(tmp_path, plan), tmp_path / "out")
    assert table.equals(of_small)


def test_bad_rows_are_left_out_and_told(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    small(tmp_path)
    at = NOON_MS + 20 * MINUTE_MS
    bad = [
        departure(7, at, dep_delay=math.nan),
        departure(8, at, dep_delay=math.inf),
        departure(9, at, origin=None),
        departure(10, at, event_time=None),
    ]
    written(tmp_path / "events" / "departures" / "bad.parquet", [*bad, departure(11, at, tailnum=None, dep_delay=2.5)])
    written(tmp_path / "requests.parquet", [request(2, NOON_MS + HOUR_MS), request(3, NOON_MS, origin=None), request(1, NOON_MS)])
    table, summary = run(spark, backfill_of(tmp_path, plan), tmp_path / "out")
    assert table["request_id"].to_pylist() == ["r2", "r1"]
    assert table["origin_departures_1h"].to_pylist() == [7, 0]
    said = [str(tally) for tally in summary.tallies]
    assert said[0] == "--requests: 3 rows, 1 refused (origin is null: 1)"
    assert said[1] == "departures: 11 rows, 4 refused (event_time is null: 1, origin is null: 1, dep_delay is not finite: 2)"


def test_late_events_count_only_as_known_and_repeats_once(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    small(tmp_path)
    at = NOON_MS + 20 * MINUTE_MS
    rows = [
        departure(20, at) | {WATERMARK: at + 5 * MINUTE_MS - 2},
        departure(21, at) | {WATERMARK: at + 5 * MINUTE_MS - 1},
        departure(22, at) | {WATERMARK: None},
        departure(22, at) | {WATERMARK: None},
    ]
    written(tmp_path / "events" / "departures" / "late.parquet", rows)
    served, _ = run(spark, backfill_of(tmp_path, plan), tmp_path / "served")
    known, _ = run(spark, backfill_of(tmp_path, plan, as_known=True), tmp_path / "known")
    assert (served["origin_departures_1h"][0].as_py(), known["origin_departures_1h"][0].as_py()) == (6 + 2, 6 + 3)


def test_only_the_asked_time_is_computed(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    table, summary = run(spark, backfill_of(small(tmp_path), plan, from_ms=NOON_MS + 1), tmp_path / "out")
    assert table["request_id"].to_pylist() == ["r2"]
    table, summary = run(spark, backfill_of(tmp_path, plan, from_ms=NOON_MS + 2 * HOUR_MS, label=True), tmp_path / "none")
    assert (len(table), summary.rows) == (0, 0)
    assert "origin_departures_1h" in table.column_names


def refused(spark: SparkSession, plan: Plan, folder: Path, kind: type[TidemarkError], *matches: str) -> None:
    with pytest.raises(kind) as error:
        backfill.compute(spark, backfill_of(folder, plan), folder / "out")
    for match in matches:
        assert match in str(error.value)


def test_what_cannot_be_read_is_named(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    small(tmp_path)
    path = tmp_path / "events" / "departures" / "z.parquet"
    written(path, [{name: value for name, value in departure(1, NOON_MS).items() if name != "dep_delay"} | {"dep_dealy": 1.0}])
    refused(spark, plan, tmp_path, DataError, "z.parquet", 'column "dep_delay" is missing (did you mean "dep_dealy"?)')
    written(path, [departure(1, NOON_MS, dep_delay="late", flight=1.5)])
    refused(spark, plan, tmp_path, DataError, '"dep_delay" is string; expected double', '"flight" is double; expected int64')
    written(path, [departure(1, NOON_MS, carrier=["AA"])])
    refused(spark, plan, tmp_path, DataError, '"carrier" is list<element: string>; expected string')
    path.write_text("not parquet")
    refused(spark, plan, tmp_path, DataError, "z.parquet: not a readable Parquet file")
    path.unlink()

    written(tmp_path / "requests.parquet", [{name: value for name, value in request(1, NOON_MS).items() if name != "origin"}])
    refused(spark, plan, tmp_path, DataError, "requests.parquet", '"origin" is missing')
    (tmp_path / "requests.parquet").unlink()
    refused(spark, plan, tmp_path, SettingError, "--requests:", "does not exist")
    small(tmp_path)
    (tmp_path / "events" / "arrivals").rename(tmp_path / "events" / "arrival")
    refused(spark, plan, tmp_path, SettingError, 'has no folder "arrivals"; did you mean "arrival"?')
    (tmp_path / "events").rename(tmp_path / "elsewhere")
    refused(spark, plan, tmp_path, SettingError, "--events:", "is not a folder")


@pytest.fixture(scope="module")
def whole(spark: SparkSession, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Several days, computed in one piece."""
    folder = tmp_path_factory.mktemp("whole")
    several_days(folder)
    return run(spark, backfill_of(folder, plan, label=True), folder / "out")[0]


@pytest.mark.parametrize(("group_rows", "range_rows"), [(1, 10**9), (40, 1), (400, 10**9)])
def test_cut_by_keys_and_time_or_by_days_the_values_are_the_same(
    spark: SparkSession, plan: Plan, whole: pa.Table, tmp_path: Path, group_rows: int, range_rows: int
) -> None:
    several_days(tmp_path)
    expected = whole
    assert (expected["origin_departures_1h"].to_pylist().count(0), len(expected)) != (len(expected), 0)
    table, summary = run(spark, backfill_of(tmp_path, plan, label=True, group_rows=group_rows, range_rows=range_rows), tmp_path / "cut")
    assert table.equals(expected)
    assert summary.whole
    assert [path.name for path in sorted((tmp_path / "cut").glob("*.parquet"))] == [f"2013-10-0{day}.parquet" for day in range(1, 5)]


def test_days_that_are_done_are_kept_and_a_broken_one_is_told_and_made_later(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    several_days(tmp_path)
    expected, _ = run(spark, backfill_of(tmp_path, plan), tmp_path / "whole")
    out = tmp_path / "resumed"
    wanted = backfill_of(tmp_path, plan, range_rows=1)
    run(spark, wanted, out)
    kept = (out / "2013-10-01.parquet").stat().st_mtime_ns
    (out / "_tidemark" / "2013-10-02.json").unlink()  # as if killed between the file and its manifest
    (out / "2013-10-04.parquet").write_bytes(b"cut short")
    summary = backfill.compute(spark, wanted, out)
    assert (summary.whole, summary.resumed) == (True, 2)
    assert pq.read_table(out).equals(expected)
    assert (out / "2013-10-01.parquet").stat().st_mtime_ns == kept


def test_inputs_that_have_changed_are_noticed_by_their_content(
    spark: SparkSession, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small(tmp_path)
    run(spark, backfill_of(tmp_path, plan), tmp_path / "out")
    path = tmp_path / "events" / "departures" / "a.parquet"
    content = bytearray(path.read_bytes())
    at = content.index(b"LAX")
    content[at : at + 3] = b"SFO"  # as long as before, and nothing else that the file says of itself has changed
    path.write_bytes(content)
    with pytest.raises(SettingError, match=r"with other inputs \(departures: 1 file changed: a\.parquet \(6 rows, other content\)\)"):
        backfill.compute(spark, backfill_of(tmp_path, plan), tmp_path / "out")
    written(tmp_path / "events" / "arrivals" / "late" / "b.parquet", [arrival(9, NOON_MS)])
    run(spark, backfill_of(tmp_path, plan), tmp_path / "after")
    assert main(["data", "diff", str(tmp_path / "out"), str(tmp_path / "after")]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:-1] == [
        "arrivals: 1 file added: late/b.parquet (1 row)",
        "departures: 1 file changed: a.parquet (6 rows, other content)",
    ]


def several_days(folder: Path) -> None:
    """Four days with a busy airport and quiet ones, in no order of time."""
    rng = random.Random(7)
    start = NOON_MS - 12 * HOUR_MS
    times = [start + rng.randrange(4 * 24 * 60) * MINUTE_MS for _ in range(300)]
    fields = [
        {
            "origin": rng.choice(["JFK", "JFK", "JFK", "EWR"]),
            "dest": rng.choice(["LAX", "LAX", "SFO"]),
            "tailnum": rng.choice(["N1", "N2", None]),
        }
        for _ in times
    ]
    written(
        folder / "events" / "departures" / "a.parquet", [departure(n, at, **f) for n, (at, f) in enumerate(zip(times, fields, strict=True))]
    )
    written(
        folder / "events" / "arrivals" / "a.parquet", [arrival(n, at, **f) for n, (at, f) in enumerate(zip(times, fields, strict=True))]
    )
    asked = [request(n, at + 40 * MINUTE_MS, **f) for n, (at, f) in enumerate(zip(times, fields, strict=True)) if at < start + 95 * HOUR_MS]
    rng.shuffle(asked)
    written(folder / "requests.parquet", sorted(asked, key=lambda row: row["event_time"] // 86_400_000))


def test_names_that_are_patterns_are_only_names(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    folder = small(tmp_path / "run[1] {a,b} *?")
    table, _ = run(spark, backfill_of(folder, plan), folder / "out")
    assert table["origin_departures_1h"].to_pylist() == [6, 0]


def test_a_source_called_requests_is_not_the_requests(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    expected, _ = run(spark, backfill_of(small(tmp_path), plan, label=True), tmp_path / "expected")
    (tmp_path / "events" / "departures").rename(tmp_path / "events" / "requests")
    wanted = backfill_of(tmp_path, plan, label=True)
    views = [
        replace(view, source=replace(view.source, name="requests")) if view.source.name == "departures" else view
        for view in wanted.service.views
    ]
    table, summary = run(spark, replace(wanted, service=replace(wanted.service, views=tuple(views))), tmp_path / "out")
    assert table.equals(expected)
    assert [(tally.name, tally.rows) for tally in summary.tallies] == [("--requests", 2), ("requests", 6), ("arrivals", 2)]
    manifest = json.loads((tmp_path / "out" / backfill.MANIFEST).read_text())
    assert {name: len(files) for name, files in DataVersion.parse(manifest, tmp_path).files.items()} == {
        "--requests": 1,
        "requests": 1,
        "arrivals": 1,
    }


def of_requests_only(wanted: Backfill) -> Backfill:
    return replace(wanted, service=replace(wanted.service, views=()))


@pytest.mark.parametrize("group_rows", [1, 10**9])
def test_a_service_without_views_needs_no_groups(spark: SparkSession, plan: Plan, tmp_path: Path, group_rows: int) -> None:
    several_days(tmp_path)
    table, summary = run(spark, of_requests_only(backfill_of(tmp_path, plan, label=True, group_rows=group_rows)), tmp_path / "out")
    asked = pq.read_table(tmp_path / "requests.parquet")
    assert (summary.whole, table["request_id"].to_pylist()) == (True, asked["request_id"].to_pylist())
    assert table["label"].null_count < len(table) == len(asked)


def test_where_nothing_can_be_computed_it_is_told_why(
    spark: SparkSession, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backfill, "session", lambda _: nullcontext(spark))

    def told(name: str, **options: Any) -> list[str]:
        wanted = of_requests_only(backfill_of(tmp_path, plan, **options))
        assert backfill.run_and_tell(wanted, tmp_path / name, Settings(), overwrite=False) == 0
        return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("0 rows of features in ")]

    small(tmp_path)
    assert told("later", from_ms=NOON_MS + 9 * HOUR_MS) == ["--requests: 0 rows", "no requests of these times"]
    written(tmp_path / "requests.parquet", [request(n, NOON_MS, origin=None) for n in range(2)], types={"origin": pa.string()})
    assert told("refused") == ["--requests: 2 rows, 2 refused (origin is null: 2)"]


def test_a_source_without_files_has_no_events(spark: SparkSession, plan: Plan, tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "events" / "arrivals" / "a.parquet").unlink()
    table, _ = run(spark, backfill_of(tmp_path, plan, label=True), tmp_path / "out")
    assert (table["dest_arrivals_3h"].to_pylist(), table["label"].to_pylist()) == ([0, 0], [None, None])
