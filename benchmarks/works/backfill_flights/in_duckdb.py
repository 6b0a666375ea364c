"""Runs a file of SQL in DuckDB: `python in_duckdb.py FEATURES.sql EVENTS REQUESTS OUT.parquet`, in the peer's environment."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

CORES = 2


def main(features: str, events: str, requests: str, out: str) -> None:
    """Write the training set."""
    database = duckdb.connect(config={"threads": CORES})
    database.execute("SET VARIABLE events = $1", [events])
    database.execute("SET VARIABLE requests = $1", [requests])
    database.execute(Path(features).read_text())
    database.sql("FROM training").write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
