"""Runs SQL expressions over rows in one engine, in a process of its own: `python -m tests.features.expressions.engines flink|spark JOB.json…`.

A job file holds `rows` (JSON lines by path), `columns` (name → type) and `expressions` (SQL); the values of all rows are printed as JSON,
doubles by `float.hex`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.types import DataType

BATCH = 60


def flink(rows: str, columns: dict[str, DataType], expressions: list[str]) -> Iterator[list[Any]]:
    """One list of values for each expression."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_batch_mode())  # its Java is started once
    own = dict.fromkeys(("web.tmpdir", "io.tmp.dirs"), str(Path(rows).parent))
    for name, value in {"table.local-time-zone": "UTC", "parallelism.default": "1", **own}.items():
        environment.get_config().set(name, value)
    fields = ", ".join(f"`{name}` {_stored(type_).flink}" for name, type_ in columns.items())
    environment.execute_sql(
        f"CREATE TABLE `stored` (`row` INT, {fields}) WITH ('connector' = 'filesystem', 'path' = '{rows}', 'format' = 'json')"
    )
    times = {name: f"TO_TIMESTAMP_LTZ(`{name}`, 3) AS `{name}`" for name, type_ in columns.items() if type_ is DataType.TIMESTAMP}
    source = f"SELECT `row`, {', '.join(times.get(name, f'`{name}`') for name in columns)} FROM `stored`"
    for batch in _batches(expressions):
        listed = ", ".join(f"{expression} AS `c{index}`" for index, expression in enumerate(batch))
        with environment.execute_sql(f"SELECT `row`, {listed} FROM ({source})").collect() as result:
            ordered = sorted((list(row) for row in result), key=lambda row: row[0])
        yield from ([row[index + 1] for row in ordered] for index in range(len(batch)))


def spark(rows: str, columns: dict[str, DataType], expressions: list[str]) -> Iterator[list[Any]]:
    """One list of values for each expression."""
    from pyspark.sql import SparkSession

    options = {"spark.sql.ansi.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.ui.enabled": "false"}
    builder = SparkSession.builder.master("local[1]")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    fields = ", ".join(f"`{name}` {_stored(type_).spark}" for name, type_ in columns.items())
    stored = session.read.schema(f"`row` INT, {fields}").json(rows)
    times = {name: f"TIMESTAMP_MILLIS(`{name}`) AS `{name}`" for name, type_ in columns.items() if type_ is DataType.TIMESTAMP}
    stored.selectExpr("`row`", *(times.get(name, f"`{name}`") for name in columns)).createOrReplaceTempView("events")
    for batch in _batches(expressions):
        listed = ", ".join(f"{expression} AS `c{index}`" for index, expression in enumerate(batch))
        ordered = session.sql(f"SELECT `row`, {listed} FROM events ORDER BY `row`").collect()
        yield from ([row[index + 1] for row in ordered] for index in range(len(batch)))


def _stored(type_: DataType) -> DataType:
    return DataType.INT64 if type_ is DataType.TIMESTAMP else type_


def _batches(expressions: list[str]) -> Iterator[list[str]]:
    return (expressions[start : start + BATCH] for start in range(0, len(expressions), BATCH))


def main(engine: str, *paths: str) -> None:
    """Run jobs, one after the other."""
    for path in paths:
        job = json.loads(Path(path).read_text())
        columns = {name: DataType(type_) for name, type_ in job["columns"].items()}
        values = {"flink": flink, "spark": spark}[engine](job["rows"], columns, job["expressions"])
        Path(f"{path}.out").write_text(
            json.dumps([[value.hex() if isinstance(value, float) else value for value in row] for row in values])
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
