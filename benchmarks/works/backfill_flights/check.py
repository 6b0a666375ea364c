"""Whether a training set is right: DuckDB's is held to the oracle on a sample of requests, every other to DuckDB's, value by value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.benchmark import WrongAnswerError
from benchmarks.works.backfill_flights.inputs import Inputs
from tests.oracle import Question, answers

TILE_MS, DELAY_MS = 300_000, 62_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SAMPLE, SEED = 200, 7

DEPARTURES = {
    "origin": [
        ("origin_departures_1h", "Count", 1, None),
        ("origin_late_1h", "Count", 1, "late"),
        ("origin_dep_delay_mean_1h", "Mean", 1, "delay"),
        ("origin_dep_delay_mean_3h", "Mean", 3, "delay"),
        ("origin_dep_delay_std_3h", "StdDev", 3, "delay"),
        ("origin_dep_delay_max_3h", "Max", 3, "delay"),
    ],
    "carrier,origin": [
        ("carrier_departures_1h", "Count", 1, None),
        ("carrier_departures_3h", "Count", 3, None),
        ("carrier_late_3h", "Count", 3, "late"),
        ("carrier_dep_delay_mean_1h", "Mean", 1, "delay"),
        ("carrier_dep_delay_mean_3h", "Mean", 3, "delay"),
        ("carrier_dep_delay_max_3h", "Max", 3, "delay"),
    ],
}
ARRIVALS = {
    "dest": [
        ("dest_arrivals_3h", "Count", 3, None),
        ("dest_late_3h", "Count", 3, "late"),
        ("dest_arr_delay_mean_1h", "Mean", 1, "delay"),
        ("dest_arr_delay_mean_3h", "Mean", 3, "delay"),
        ("dest_arr_delay_max_3h", "Max", 3, "delay"),
        ("dest_arr_delay_min_3h", "Min", 3, "delay"),
    ],
    "tailnum": [
        ("aircraft_arrivals_3h", "Count", 3, None),
        ("aircraft_arrivals_12h", "Count", 12, None),
        ("aircraft_last_arr_delay_12h", "Last", 12, "delay"),
        ("aircraft_arr_delay_mean_12h", "Mean", 12, "delay"),
        ("aircraft_arr_delay_min_12h", "Min", 12, "delay"),
        ("aircraft_arr_delay_max_12h", "Max", 12, "delay"),
    ],
}
FEATURES = [name for views in (DEPARTURES, ARRIVALS) for features in views.values() for name, *_ in features]


def same(path: Path, reference: Path, *, asked: Path | None = None, repeated: bool = True) -> None:
    """Compare two training sets by request.

    Counts, minima, maxima, last values and the label must be equal, means and standard deviations to 1e-12.

    Args:
        path: A Parquet file or a folder of them.
        reference: What it should say.
        asked: The requests that were asked for, where those were not all.
        repeated: Whether requests of the same aircraft and time as another may not be missing (Feast's file store answers one of them).

    Raises:
        WrongAnswerError: They differ.
    """
    got, expected = pq.read_table(path), pq.read_table(reference)
    if asked is not None:
        expected = _only(expected, pq.read_table(asked))
    if not repeated:
        moments = expected.group_by(["event_time", "tailnum"]).aggregate([])
        if len(got) < len(moments):
            raise WrongAnswerError(f"{len(got):,} rows, expected {len(moments):,} or more")
        expected = _only(expected, got)
    if len(got) != len(expected):
        raise WrongAnswerError(f"{len(got):,} rows, expected {len(expected):,}")
    got = got.take(pc.index_in(expected["request_id"], value_set=got["request_id"].combine_chunks()))
    for name in (*FEATURES, "label"):
        differing = _differing(name, got[name], expected[name])
        if differing.any():
            row = int(np.flatnonzero(differing)[0])
            said = f"{got[name][row]} for {expected['request_id'][row]}, expected {expected[name][row]}"
            raise WrongAnswerError(f"{name}: {differing.sum():,} values differ, e.g. {said}")


def _only(rows: pa.Table, asked: pa.Table) -> pa.Table:
    """The rows of requests that are among others."""
    return rows.filter(pc.is_in(rows["request_id"], value_set=asked["request_id"].combine_chunks()))


def _differing(name: str, got: pa.ChunkedArray[Any], expected: pa.ChunkedArray[Any]) -> Any:
    ours, theirs = (column.cast(pa.float64()).to_numpy() for column in (got, expected))  # null as NaN, which no value is
    tolerance = 1e-12 if "_mean_" in name or "_std_" in name else 0.0
    return ~np.isclose(ours, theirs, rtol=tolerance, atol=0.0, equal_nan=True)


def by_the_oracle(path: Path, inputs: Inputs) -> None:
    """Compare a training set with nested loops over raw events, for some requests.

    Raises:
        WrongAnswerError: They differ.
    """
    rows = pq.read_table(path)
    rng = np.random.default_rng(SEED)
    rows = rows.take(np.sort(rng.choice(len(rows), min(SAMPLE, len(rows)), replace=False)))
    for source, delay, views in (("departures", "dep_delay", DEPARTURES), ("arrivals", "arr_delay", ARRIVALS)):
        events = _dated(pq.read_table(inputs.events / source)).to_pylist()
        for keys, features in views.items():
            _check_view(_dated(rows).to_pylist(), events, keys.split(","), _questions(features, delay))


def _dated(table: pa.Table) -> pa.Table:
    """With the event time as `ms`."""
    names = {"request_id", "carrier", "origin", "dest", "tailnum", "dep_delay", "arr_delay", *FEATURES}
    known = table.select([name for name in table.column_names if name in names])
    return known.append_column("ms", table["event_time"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()))


def _questions(features: list[tuple[str, str, int, str | None]], delay: str) -> list[Question]:
    def value(event: Mapping[str, Any]) -> Any:
        return event[delay]

    def late(event: Mapping[str, Any]) -> bool:
        return bool(event[delay] > 15)

    return [
        Question(
            name=name,
            aggregation=aggregation,
            window_ms=hours * HOUR_MS,
            value=value if what == "delay" else None,
            where=late if what == "late" else None,
        )
        for name, aggregation, hours, what in features
    ]


def _check_view(rows: list[dict[str, Any]], events: list[dict[str, Any]], keys: list[str], questions: list[Question]) -> None:
    of_day = defaultdict(list)
    for event in events:
        of_day[event["ms"] // DAY_MS, *(event[key] for key in keys)].append(event)
    for row in rows:
        as_of_ms, today = row["ms"], row["ms"] // DAY_MS
        near = [event for day in (today - 1, today) for event in of_day[day, *(row[key] for key in keys)]]
        said = answers(questions, near, time="ms", belongs=lambda event: True, as_of_ms=as_of_ms, tile_ms=TILE_MS, delay_ms=DELAY_MS)
        for name, value in said.items():
            got = row[name]
            if (got is None) != (value is None) or (value is not None and abs(got - value) > 1e-12 * abs(value)):
                raise WrongAnswerError(f"{name} of {row['request_id']}: {got}, the oracle says {value}")
