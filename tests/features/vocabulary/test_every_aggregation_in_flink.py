"""Flink's SQL of every aggregation that is found makes the tiles that prepared events make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.columns.tile_table import Tiles
from features.kernel.fold import fold
from features.tolerances import differences, view_rules
from tests.features.expressions.test_expressions_in_engines import QUICK_TO_START
from tests.features.kernel.example import TILE_MS
from tests.features.prepared import prepared
from tests.features.vocabulary.every_aggregation import every, history
from tests.features.vocabulary.flink_tiles import NUMBERS_AND_TEXT


@pytest.mark.e2e
def test_every_aggregation_found_is_in_flink_what_prepared_events_make(tmp_path: Path) -> None:
    view, events = every(NUMBERS_AND_TEXT), history(2, 300, keys="abcd")
    owners = {key: number for number, key in enumerate("abcd")}
    stored, out = tmp_path / "events.jsonl", tmp_path / "tiles.parquet"
    stored.write_text("".join(json.dumps(event) + "\n" for event in events))
    command = [sys.executable, "-m", "tests.features.vocabulary.flink_tiles", str(stored), str(out)]
    done = subprocess.run(command, env=QUICK_TO_START, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    table = pq.read_table(out)
    owner = np.array([owners[str(key)] for key in table.column("key").to_pylist()])
    tiles = Tiles.of(view.tile_columns, owner=owner, start_ms=table.column("tile_start").to_numpy(), table=table)
    sides = [fold(view, each, owner=np.arange(4), boundary_ms=np.full(4, 60 * TILE_MS)) for each in (tiles, prepared(view, events, owners))]
    rules = view_rules(view)
    for feature in view.features:
        apart = differences(*(pa.chunked_array([side[feature.name]]) for side in sides))
        assert apart.max() <= rules[feature.name].allowed, feature.name
