"""Whether what was written is there: every tile that the store should keep, or each key's last values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.benchmark import WrongAnswerError
from benchmarks.online.inputs import SLACK_MS, TILE_MS, VIEWS, plan
from benchmarks.works.online_write.stream import after
from inference.online.writer import cold_split


def tiles(out: Path, inputs: Path) -> None:
    """Compare all tiles of all keys, and the frontiers.

    Raises:
        WrongAnswerError: They differ.
    """
    frontiers = json.loads((out / "frontiers.json").read_text())
    for view, key in VIEWS.items():
        sent = pq.read_table(inputs / "tiles" / f"{view}.parquet")
        start = sent["tile_start"].cast(pa.int64()).to_numpy()
        if frontiers[view] != start.max() + TILE_MS:
            raise WrongAnswerError(f"{view}: the frontier is {frontiers[view]}, expected {start.max() + TILE_MS}")
        newest = dict(
            zip(sent[key].to_pylist(), (start + TILE_MS).tolist(), strict=True)
        )  # the last of each key, as they are sent in order
        together_ms, step_ms = cold_split(plan().views[view], SLACK_MS)
        ends = np.array([newest[name] for name in sent[key].to_pylist()])
        kept = start >= (ends - together_ms) // step_ms * step_ms + together_ms - plan().views[view].longest_window_ms - SLACK_MS
        expected = _sorted(sent.drop_columns(["revision"]).filter(pa.array(kept)), key)
        got = _sorted(pq.read_table(out / f"{view}.parquet"), key)
        if not got.equals(expected.select(got.column_names)):
            raise WrongAnswerError(f"{view}: {len(got):,} tiles are stored, {len(expected):,} expected, or some are not the same")


def _sorted(tiles: pa.Table, key: str) -> pa.Table:
    return tiles.sort_by([(key, "ascending"), ("tile_start", "ascending")])


def records(out: Path, inputs: Path) -> None:
    """Count the records that were found.

    Raises:
        WrongAnswerError: Some were not.
    """
    expected = sum(len(after(pq.read_table(inputs / "tiles" / f"{view}.parquet"))) for view in VIEWS)
    found = json.loads((out / "tiles.json").read_text())
    if found != expected:
        raise WrongAnswerError(f"{found:,} records are there, expected {expected:,}")


def values(out: Path, inputs: Path) -> None:
    """Compare each key's features with the last that were written.

    Raises:
        WrongAnswerError: They differ.
    """
    for view, key in VIEWS.items():
        last = pq.read_table(inputs / "values" / f"{view}.parquet").to_pandas().drop_duplicates(key, keep="last").set_index(key)
        got = pq.read_table(out / f"{view}.parquet").to_pandas().set_index(key)
        for name in got.columns:
            ours, theirs = (table.loc[last.index, name].to_numpy(dtype=np.float64) for table in (got, last))
            if not np.array_equal(ours, theirs, equal_nan=True):
                raise WrongAnswerError(f"{view}: {name} is not what was written last")
