"""Asks Feast: `python in_feast.py ADDRESS INPUTS OUT SECONDS CASE...`, in the peer's environment."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from feast.online_response import OnlineResponse

from benchmarks.online.calls import timed
from benchmarks.online.cases import CALLS, Case, keys_of, named
from benchmarks.online.feast_store import VIEWS, opened, references


def main(address: str, inputs: Path, out: Path, seconds: float, cases: list[Case]) -> None:
    """Fill the store with the features' values, then measure every case."""
    store = opened(address, inputs / "features", out)
    known = {name: pq.read_table(inputs / "features" / f"{name}.parquet").to_pandas() for name in VIEWS}
    for name, values in known.items():
        store.write_to_online_store(name, df=values.assign(event_timestamp=datetime.now(UTC)))
    figures: dict[str, float] = {}
    for case in cases:
        views = dict(list(VIEWS.items())[: case.views])
        features = references(list(views), store)
        keys = len(known["card_activity"])
        calls = [
            [
                dict(zip(views.values(), row, strict=True))
                for row in zip(*(keys_of(number, key, case.rows, keys) for key in views.values()), strict=True)
            ]
            for number in range(CALLS)
        ]
        found, last = timed(partial(_ask, store, features), calls, seconds)
        figures |= case.figures(found)
        pq.write_table(pa.table(last.to_dict()), out / f"{case.name}.parquet")
    (out / "figures.json").write_text(json.dumps(figures))


def _ask(store: FeatureStore, features: list[str], rows: list[dict[str, str]]) -> OnlineResponse:
    return store.get_online_features(features=features, entity_rows=rows)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), named(sys.argv[5:]))
