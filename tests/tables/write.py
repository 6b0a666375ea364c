"""Wrote tests/tables/written, once, in an environment of its own: `python tests/tables/write.py` with duckdb 2.0.1, polars 2.1.0, fastparquet 2026.9.0.

Each file holds what its writer has for the fields of `reading`, in types that pyarrow itself does not write, or writes otherwise.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import duckdb
import fastparquet  # type: ignore[import-not-found]  # of the writers' own environment
import pandas as pd
import polars as pl  # type: ignore[import-not-found]  # of the writers' own environment

OUT = Path(__file__).parent / "written"
AT = dt.datetime(2026, 1, 5, 10, 0, 0, 123456)


def by_duckdb() -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    columns = """'a' AS id, TIMESTAMPTZ '2026-01-05 12:00:00.123456+02' AS event_time, 12.50::DECIMAL(38, 2) AS amount, 5::UBIGINT AS items,
        DATE '2026-01-05' AS seen, true AS flag"""
    for name, card in {
        "duckdb_uuid": "'123e4567-e89b-12d3-a456-426614174000'::UUID",
        "duckdb_enum": "'k1'::ENUM('k1', 'k2')",
        "duckdb_json": "'{\"a\": 1}'::JSON",
        "duckdb_null": "NULL",
        "duckdb_date": "DATE '2026-01-05'",
    }.items():
        connection.execute(f"COPY (SELECT {columns}, {card} AS card) TO '{OUT / f'{name}.parquet'}' (FORMAT parquet)")
    rows = f"SELECT {columns}, unnest(['k1', 'a/b ü%', NULL]) AS card"
    connection.execute(f"COPY ({rows}) TO '{OUT / 'duckdb_hive'}' (FORMAT parquet, PARTITION_BY card, OVERWRITE)")
    kept = f"SELECT {columns}, unnest(['k1', 'k2']) AS card"
    options = "FORMAT parquet, PARTITION_BY card, WRITE_PARTITION_COLUMNS true, OVERWRITE"
    connection.execute(f"COPY ({kept}) TO '{OUT / 'duckdb_hive_kept'}' ({options})")


def by_polars() -> None:
    frame = pl.DataFrame(
        {
            "id": ["a", "b"],
            "event_time": [AT, AT],
            "amount": pl.Series([Decimal("12.50"), Decimal("-0.01")], dtype=pl.Decimal(20, 2)),
            "items": pl.Series([5, 6], dtype=pl.UInt64),
            "seen": [dt.date(2026, 1, 5), None],
            "flag": [True, None],
        }
    )
    cards = {
        "null": pl.Series("card", [None, None]),
        "categorical": pl.Series("card", ["k1", None], dtype=pl.Categorical),
        "enum": pl.Series("card", ["k1", None], dtype=pl.Enum(["k2", "k1"])),
    }
    for name, card in cards.items():
        frame.with_columns(card).write_parquet(OUT / f"polars_{name}.parquet")
    halves = pl.Series("amount", [1.5, -0.25], dtype=pl.Float16)
    zoned = pl.Series("event_time", [AT, AT]).dt.replace_time_zone("America/New_York")
    frame.with_columns(halves, zoned, pl.Series("seen", [AT, None], dtype=pl.Datetime("ns"))).write_parquet(OUT / "polars_half.parquet")
    frame.with_columns(pl.Series("card", ["k1", None])).write_parquet(pl.PartitionBy(OUT / "polars_hive", key="card", include_key=False))


def by_fastparquet() -> None:
    frame = pd.DataFrame(
        {
            "id": ["a"],
            "event_time": pd.to_datetime([AT]).astype("datetime64[ns]"),
            "card": pd.Series([None], dtype=object),
            "amount": pd.array([1.5], dtype="float32"),
            "items": pd.array([5], dtype="uint64"),
            "seen": pd.to_datetime(["2026-01-05T10:00"]).tz_localize("Asia/Kolkata").astype("datetime64[ns, Asia/Kolkata]"),
            "flag": [True],
        }
    )
    fastparquet.write(str(OUT / "fastparquet.parquet"), frame)
    fastparquet.write(str(OUT / "fastparquet_int96.parquet"), frame.assign(card=pd.Categorical(["k1"])), times="int96")
    hive = str(OUT / "fastparquet_hive")
    fastparquet.write(hive, frame.assign(card=["k1"], items=[7]), file_scheme="hive", partition_on=["card", "items"])


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    by_duckdb()
    by_polars()
    by_fastparquet()
