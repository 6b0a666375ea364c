"""The flights of 2013 and the requests of those that arrived; the same again a year later, for the doubled history; and the values that Feast is given."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.demo import flights

YEAR_MS = 364 * 86_400_000
"""52 weeks: the same days of the week."""
MINUTE_MS = 60_000
SEED = 2014
PART_MS = 2 * 86_400_000
"""Of a call to Feast's file store."""
EVERY = 12
"""Of those parts it is asked for every twelfth."""

VIEWS = {"origin": ["origin"], "carrier": ["carrier", "origin"], "dest": ["dest"], "aircraft": ["tailnum"]}
"""View → its keys; the names of its features begin with the view's."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where a history lies.

    Attributes:
        events: `departures/` and `arrivals/`, a Parquet file a month.
        requests: The same of requests.
    """

    events: Path
    requests: Path

    @classmethod
    def below(cls, folder: Path) -> Inputs:
        """As `write` lays it out."""
        return cls(events=folder / "events", requests=folder / "requests")


@dataclass(frozen=True, kw_only=True)
class Values:
    """What Feast is given.

    Attributes:
        folder: A folder per view, with a Parquet file for each part of time and one for all.
        requests: All requests.
        sample: Those of every twelfth part.
        parts: How many parts there are.
    """

    folder: Path
    requests: Path
    sample: Path
    parts: int


def ensure(folder: Path, *, months: int = 13) -> tuple[Inputs, Inputs]:
    """Writes both histories, unless they are there.

    Args:
        folder: Where to.
        months: Only the first so many.

    Returns:
        The year, and the doubled one: every event and request of it, and a copy 52 weeks later whose events are moved by some minutes.
    """
    done = folder / "done"
    year, doubled = folder / "year", folder / "doubled"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        files = flights.ensure(folder.parents[1] / "data")
        relations = {f"events/{name}": _read(files.events / name, months) for name in ("departures", "arrivals")}
        asked = _read(files.requests, months)
        landed = relations["events/arrivals"]["flight_id"]
        relations["requests"] = asked.filter(pc.is_in(asked["flight_id"], value_set=landed.combine_chunks()))
        rng = np.random.default_rng(SEED)
        for name, table in relations.items():
            _write(table, year / name)
            _write(pa.concat_tables([table, _later(table, rng)]), doubled / name)
        done.touch()
    return Inputs.below(year), Inputs.below(doubled)


def _read(folder: Path, months: int) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))[:months]])


def _later(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Other flights, a year later; what happened is moved by up to five minutes, what was asked is not."""
    moved = rng.integers(-5, 6, len(table)) * MINUTE_MS if "request_id" not in table.column_names else np.zeros(len(table), dtype=np.int64)
    for name in table.column_names:
        column, position = table[name], table.column_names.index(name)
        if name in ("flight_id", "request_id"):
            again: Any = pc.replace_substring_regex(column, "^", "again-")
            table = table.set_column(position, name, again)
        elif name in ("event_time", "sched_dep"):
            shift = YEAR_MS + (moved if name == "event_time" else 0)
            table = table.set_column(position, name, pa.array(column.cast(pa.int64()).to_numpy() + shift).cast(column.type))
    return table.sort_by("event_time")


def _write(table: pa.Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    month = table["event_time"].to_numpy().astype("datetime64[M]")
    for each in np.unique(month):
        pq.write_table(table.filter(pa.array(month == each)), folder / f"{each}.parquet")


def write_for_feast(training: Path, folder: Path) -> Values:
    """What Feast is given: each view's values at exactly the boundaries that the requests ask for, with the time from which they are known.

    These are the fewest rows that answer the requests; each counts for one tile. One file per view and part of time, and one for all.

    Returns:
        Where they are.
    """
    rows = pq.read_table(training).to_pandas()
    time_ms = rows["event_time"].dt.as_unit("ms").astype("int64")
    rows["part"] = time_ms // PART_MS
    known_ms = (time_ms - 62_000) // 300_000 * 300_000 + 62_000
    shutil.rmtree(folder, ignore_errors=True)
    for view, keys in VIEWS.items():
        features = [name for name in rows.columns if name.startswith(f"{view}_")]
        values = rows[[*keys, "part", *features]].assign(event_timestamp=pd.to_datetime(known_ms, unit="ms", utc=True))
        (folder / view).mkdir(parents=True)
        for part, of_part in values.groupby("part"):
            of_part.drop_duplicates([*keys, "event_timestamp"]).drop(columns="part").to_parquet(
                folder / view / f"{part}.parquet", index=False
            )
        values.drop_duplicates([*keys, "event_timestamp"]).drop(columns="part").to_parquet(folder / view / "all.parquet", index=False)
    names = ["request_id", "event_time", "carrier", "origin", "dest", "tailnum", "part", "label"]
    asked = rows[names].rename(columns={"event_time": "event_timestamp"})
    parts = sorted(asked["part"].unique())
    found = Values(folder=folder, requests=folder / "requests.parquet", sample=folder / "sample.parquet", parts=len(parts))
    asked.to_parquet(found.requests, index=False)
    asked[asked["part"].isin(parts[::EVERY])].to_parquet(found.sample, index=False)
    return found
