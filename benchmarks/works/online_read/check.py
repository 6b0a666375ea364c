"""Whether the answers to the last call of every case are right: features as the oracle says, or as many bytes as the tiles have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.benchmark import WrongAnswerError
from benchmarks.online.cases import CALLS, Case, keys_of
from benchmarks.online.inputs import END_MS, KEYS, QUESTIONS, SLACK_MS, VIEWS, plan
from features.plan import ViewPlan
from features.tiles.codec import HEAD, TileCodec
from inference.online.redis.layout import value_of
from inference.online.writer import cold_split


def features(out: Path, inputs: Path, cases: Sequence[Case]) -> None:
    """Compare `<case>.parquet` of each case with the oracle's features, to 1e-12.

    Raises:
        WrongAnswerError: They differ, or ours are said to be stale.
    """
    expected = {name: pq.read_table(inputs / "features" / f"{name}.parquet") for name in VIEWS}
    for case in cases:
        got = pq.read_table(out / f"{case.name}.parquet")
        if "stale" in got.column_names and any(got["stale"].to_pylist()):
            raise WrongAnswerError(f"{case.name}: rows are marked as stale")
        for view, key in _views(case).items():
            asked = pa.chunked_array([_asked(key, case)])
            if not got[key].equals(asked):
                raise WrongAnswerError(f"{case.name}: rows are not those that were asked for")
            right = expected[view].take(pc.index_in(asked, value_set=expected[view][key].combine_chunks()))
            for name in (question.name for question in QUESTIONS[view]):
                ours, theirs = (table[name].cast(pa.float64()).to_numpy() for table in (got, right))  # null as NaN, which no value is
                differing = ~np.isclose(ours, theirs, rtol=1e-12, atol=0.0, equal_nan=True)
                if differing.any():
                    row = int(np.flatnonzero(differing)[0])
                    raise WrongAnswerError(f"{case.name}: {name} of {asked[row]}: {ours[row]}, the oracle says {theirs[row]}")


def sizes(out: Path, inputs: Path, cases: Sequence[Case]) -> None:
    """Compare `bytes.json` with the size of the tiles.

    Raises:
        WrongAnswerError: They differ.
    """
    read, views = json.loads((out / "bytes.json").read_text()), plan().views
    for case in cases:
        expected = 0
        for view, key in _views(case).items():
            record = TileCodec(view=views[view]).record
            assert record is not None
            every = pq.read_table(inputs / "tiles" / f"{view}.parquet", columns=[key, "tile_start"])
            own = every.filter(pc.is_in(every[key], value_set=_asked(key, case)))
            counts = _newest(views[view], own[key].to_numpy(), own["tile_start"].cast(pa.int64()).to_numpy())
            expected += sum(len(value_of(bytes(HEAD.size + count * record.itemsize))) for count in counts)
        if read[case.name] != expected:
            raise WrongAnswerError(f"{case.name}: {read[case.name]:,} bytes, expected {expected:,}")


def _newest(view: ViewPlan, owner: NDArray[Any], start_ms: NDArray[np.int64]) -> list[int]:
    """How many tiles of each owner are not with the older ones."""
    together_ms, step_ms = cold_split(view, SLACK_MS)
    start_ms, owner = start_ms[start_ms < END_MS], owner[start_ms < END_MS]
    counts = []
    for name in np.unique(owner):
        own = start_ms[owner == name]
        counts.append(int((own >= (own.max() + view.tile_ms - together_ms) // step_ms * step_ms).sum()))
    return counts


def _views(case: Case) -> dict[str, str]:
    return dict(list(VIEWS.items())[: case.views])


def _asked(key: str, case: Case) -> pa.StringArray:
    return pa.array(keys_of(CALLS - 1, key, case.rows, KEYS))
