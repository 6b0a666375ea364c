"""A small Flink job with a Python worker and state in a checkpoint: numbers → Arrow function → print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import udf

from schemas.errors import DataError
from tests.waiting import eventually


def triple(numbers: pd.Series[int]) -> pd.Series[int]:
    """Three times as much; refuses 13 when the job was told so."""
    return numbers * 3


def refuse(numbers: pd.Series[int]) -> pd.Series[int]:
    """Fails on every batch."""
    raise DataError(f"these {len(numbers)} numbers are refused")


def hanging(file: Path) -> Callable[[pd.Series[int]], pd.Series[int]]:
    """As `triple`, but does not answer while there is such a file."""

    def hang(numbers: pd.Series[int]) -> pd.Series[int]:
        eventually(f"{file} is gone", lambda: not file.exists())
        return triple(numbers)

    return hang


def main(arguments: Sequence[str]) -> int:
    """Submit the job; `fail` makes its worker fail, `hang FILE` makes it hang, `never` refuses to submit at all."""
    if "never" in arguments:
        raise DataError("this job never starts")
    tables = StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment())
    function = refuse if "fail" in arguments else hanging(Path(arguments[1])) if "hang" in arguments else triple
    tables.create_temporary_function("work", udf(function, result_type=DataTypes.BIGINT(), func_type="pandas"))
    tables.execute_sql(
        "CREATE TABLE numbers (n BIGINT NOT NULL) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
        "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '20000')"
    )
    tables.execute_sql("CREATE TABLE worked (n BIGINT) WITH ('connector' = 'print')")
    tables.execute_sql("INSERT INTO worked SELECT work(n) FROM numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
