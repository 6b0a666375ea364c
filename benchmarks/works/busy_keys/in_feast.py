"""Asks Feast for plain values: `python in_feast.py ADDRESS INPUTS OUT SECONDS`, in the peer's environment."""

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

from benchmarks.busy.cases import CALLS, CASES, VIEW
from benchmarks.online.calls import timed
from benchmarks.online.feast_store import opened, references


def main(address: str, inputs: Path, out: Path, seconds: float) -> None:
    """Fill the store with the features' values, then measure every case."""
    store = opened(address, inputs, out, {VIEW: "card"})
    values = pq.read_table(inputs / f"{VIEW}.parquet").to_pandas()
    store.write_to_online_store(VIEW, df=values.assign(event_timestamp=datetime.now(UTC)))
    features, cards = references([VIEW], store), values["card"].tolist()
    figures: dict[str, float] = {}
    for case in CASES:
        calls = [[{"card": cards[card]} for card in case.chosen(call)] for call in range(CALLS)]
        found, last = timed(partial(_ask, store, features), calls, seconds)
        figures |= case.figures(found)
        pq.write_table(pa.table(last.to_dict()), out / f"{case.name}.parquet")
    (out / "figures.json").write_text(json.dumps(figures))


def _ask(store: FeatureStore, features: list[str], rows: list[dict[str, str]]) -> OnlineResponse:
    return store.get_online_features(features=features, entity_rows=rows)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
