"""Writes as many rows of plain values with Feast: `python in_feast.py arrow|frames|messages ADDRESS INPUTS OUT`, in the peer's environment.

`arrow`: `online_write_batch` of Arrow tables, as Feast's own materialization does it: rows are made Feast's messages, and then written.
`messages`: only the writing. `frames`: `write_to_online_store` of data frames.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView
from feast.utils import _convert_arrow_to_proto
from feast.value_type import ValueType

from benchmarks.online.feast_store import VIEWS, opened, references

BATCH = 5_000
"""Rows of a call: more are no faster, nor are fewer."""


def main(kind: str, address: str, inputs: Path, out: Path) -> None:
    """Fill the store with the values at the history's end, write the rows, and read back what is stored last."""
    store = opened(address, inputs / "values", out)
    batches: list[tuple[str, FeatureView, Any]] = []
    asked: dict[str, list[str]] = {}
    for name, key in VIEWS.items():
        values = pq.read_table(inputs / "values" / f"{name}.parquet").combine_chunks()
        before = pq.read_table(inputs / "features" / f"{name}.parquet").to_pandas()
        end = values["event_timestamp"][0].as_py() - timedelta(minutes=5)
        store.write_to_online_store(name, df=before.assign(event_timestamp=end))
        view = store.get_feature_view(name)
        parts = [values.slice(begin, BATCH) for begin in range(0, len(values), BATCH)]
        batches += [(key, view, _prepared(kind, key, view, part)) for part in parts]
        asked[name] = before[key].tolist()
    provider = store._get_provider()
    started = time.perf_counter()
    for key, view, batch in batches:
        if kind == "frames":
            store.write_to_online_store(view.name, df=batch)
        else:
            provider.online_write_batch(store.config, view, _messages(key, view, batch) if kind == "arrow" else batch, None)
    seconds = time.perf_counter() - started
    rows = sum(len(batch) for *_, batch in batches)
    (out / "figures.json").write_text(json.dumps({"seconds": seconds, "tiles_per_s": rows / seconds}))
    for name, key in VIEWS.items():
        found = store.get_online_features(features=references([name], store), entity_rows=[{key: value} for value in asked[name]])
        pq.write_table(pa.table(found.to_dict()), out / f"{name}.parquet")


def _prepared(kind: str, key: str, view: FeatureView, part: pa.Table) -> Any:
    if kind == "frames":
        return part.to_pandas()
    return _messages(key, view, part) if kind == "messages" else part


def _messages(key: str, view: FeatureView, part: pa.Table) -> Any:
    return _convert_arrow_to_proto(part, view, {key: ValueType.STRING})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
