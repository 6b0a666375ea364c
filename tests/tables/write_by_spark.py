"""Wrote the files of Spark in tests/tables/written, once: `python -m tests.tables.write_by_spark`, with the project's own Spark 4.3 and its defaults."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark.sql import SparkSession

from tests.tables.cases import WRITTEN

_ROW = """'a' AS id, TIMESTAMP '2026-01-05 10:00:00.123456Z' AS event_time, CAST(12.50 AS DECIMAL(38, 2)) AS amount, CAST(5 AS INT) AS items,
    DATE '2026-01-05' AS seen, true AS flag"""
_SMALL = _ROW.replace("38", "7")
_UNZONED = _ROW.replace("TIMESTAMP '", "TIMESTAMP_NTZ '").replace("456Z", "456")
_FILES: dict[str, tuple[str, dict[str, str]]] = {
    "spark": (f"{_ROW}, 'k1' AS card", {}),
    "spark_hive": (f"{_ROW}, explode(array('k1', 'a/b ü%', CAST(NULL AS STRING))) AS card", {}),
    "spark_micros": (f"{_SMALL}, CAST(NULL AS STRING) AS card", {"outputTimestampType": "TIMESTAMP_MICROS"}),
    "spark_legacy": (f"{_SMALL}, 'k1' AS card", {"writeLegacyFormat": "true"}),
    "spark_ntz": (f"{_UNZONED}, 'k1' AS card", {}),
}
"""Name → columns, and what is set of `spark.sql.parquet`."""


def main() -> None:
    """Write them all."""
    builder = SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false")
    spark = builder.getOrCreate()
    try:
        with TemporaryDirectory() as scratch:
            for name, (columns, settings) in _FILES.items():
                for key, value in settings.items():
                    spark.conf.set(f"spark.sql.parquet.{key}", value)
                frame = spark.sql(f"SELECT {columns}").coalesce(1).write
                (frame.partitionBy("card") if name == "spark_hive" else frame).parquet(f"{scratch}/{name}")
                for key in settings:
                    spark.conf.unset(f"spark.sql.parquet.{key}")
                _keep(Path(scratch) / name, WRITTEN / name)
    finally:
        spark.stop()


def _keep(made: Path, kept: Path) -> None:
    """The files under names that are the same each time, beside what else Spark leaves in a folder."""
    shutil.rmtree(kept, ignore_errors=True)
    for number, file in enumerate(sorted(made.rglob("*.parquet"))):
        place = kept / file.parent.relative_to(made) / f"part-{number:05}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    (kept / "_SUCCESS").touch()


if __name__ == "__main__":
    main()
