"""Whether every tile that must be written is, with the right count, sum and maximum; of several records of one tile the last counts."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from fastavro import parse_schema, schemaless_reader

from benchmarks.benchmark import WrongAnswerError
from benchmarks.works.features.inputs import END, FIRST
from features.compiler.tile_schema import tile_avro_schema
from features.plan import ViewPlan

Tile = tuple[str, int, int, float | None, float | None]
"""Card, start in ms, count, sum, maximum; null of no value."""


def right(tiles: Iterator[Tile], truth: Path) -> None:
    """Compare all tiles.

    Raises:
        WrongAnswerError: Tiles are missing, or too many, or a value differs.
    """
    last = {(card, start_ms): values for card, start_ms, *values in tiles if not card.startswith((END, FIRST))}
    expected = pq.read_table(truth)
    keys: list[Any] = list(zip(expected["card"].to_pylist(), expected["start_ms"].to_pylist(), strict=True))
    missing = [key for key in keys if key not in last]
    if missing or len(last) != len(keys):
        example = f", e.g. {missing[0]}" if missing else ""
        raise WrongAnswerError(f"{len(last):,} tiles, expected {len(keys):,}; {len(missing):,} are missing{example}")
    got = np.array([last[key] for key in keys], dtype=np.float64)
    for column, name in enumerate(("count", "sum", "max")):
        wanted = expected[name].to_numpy().astype(np.float64)
        differing = ~np.isclose(got[:, column], wanted, rtol=1e-12 if name == "sum" else 0.0, atol=0.0, equal_nan=True)
        if differing.any():
            row = int(np.flatnonzero(differing)[0])
            raise WrongAnswerError(
                f"{name}: {differing.sum():,} tiles differ, e.g. {got[row, column]} of {keys[row]}, expected {wanted[row]}"
            )


def of_avro(file: Path, view: ViewPlan) -> Iterator[Tile]:
    """The tiles of a view that Tidemark has written."""
    parsed = parse_schema(tile_avro_schema(view))
    names = {partial.kind: partial.name for partial in view.partials}
    count, total, largest = (names[kind] for kind in ("count", "sum", "max"))
    for value in _values(file):
        tile: Any = schemaless_reader(io.BytesIO(value), parsed, None)
        yield tile["card"], round(tile["tile_start"].timestamp() * 1000), tile[count], tile[total], tile[largest]


def of_json(file: Path) -> Iterator[Tile]:
    """The tiles that a peer has written, one object each; what Pathway takes back (`diff` −1) it corrects at the same `time`."""
    tiles = (json.loads(value) for value in _values(file))
    for tile in sorted((tile for tile in tiles if tile.get("diff", 1) > 0), key=lambda tile: tile.get("time", 0)):
        yield tile["card"], tile["start_ms"], tile["count"], tile["sum"], tile["max"]


def counted(file: Path, events: int) -> None:
    """Whether the numbers in a topic add up to all events.

    Raises:
        WrongAnswerError: They do not.
    """
    total = sum(int(json.loads(value)["count"]) for value in _values(file))
    if total != events:
        raise WrongAnswerError(f"{total:,} events counted, expected {events:,}")


def _values(file: Path) -> list[bytes]:
    values: list[Any] = pq.read_table(file, columns=["value"])["value"].to_pylist()
    return values
