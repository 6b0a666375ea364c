"""Rows of one schema, wherever they came from: bounded in time, counted by day and fault, and without those that the gate would refuse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.plan import SourcePlan
from jobs.spark.partitioning import DAY_MS
from schemas.acceptance import rules
from schemas.schema import Schema
from schemas.types import DataType
from schemas.wording import quantity


@dataclass(frozen=True, kw_only=True)
class HistoryFile:
    """A Parquet file that was read.

    Attributes:
        path: Where it is.
        name: Its path below the folder that was named, with `/` between.
        bytes: Its size.
        rows: How many it says to have.
    """

    path: Path
    name: str
    bytes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Rows of one schema.

    Attributes:
        schema: Their schema.
        source: Of which they are events, or requests.
        rows: The schema's fields, `_watermark_ms`, of requests also `#file` and `#position`; bad rows still in.
        files: The files read.
    """

    schema: Schema
    source: SourcePlan
    rows: DataFrame
    files: tuple[HistoryFile, ...]


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """How many rows a relation has, and why some were refused."""

    name: str
    rows: int
    refused: int
    reasons: Mapping[str, int]

    def __str__(self) -> str:
        """One line for the user."""
        if not self.refused:
            return f"{self.name}: {quantity(self.rows, 'row')}"
        why = ", ".join(f"{reason}: {count:,}" for reason, count in self.reasons.items() if count)
        return f"{self.name}: {quantity(self.rows, 'row')}, {self.refused:,} refused ({why})"


def between(rows: DataFrame, time: str, low_ms: int | None, high_ms: int | None) -> DataFrame:
    """The rows with event times in `[low, high)`; those without one too, so that they are counted as refused."""
    condition = F.lit(True)
    if low_ms is not None:
        condition &= F.col(time) >= F.timestamp_millis(F.lit(low_ms))
    if high_ms is not None:
        condition &= F.col(time) < F.timestamp_millis(F.lit(high_ms))
    return rows.where(condition | F.col(time).isNull())


def refuse(rows: DataFrame, relation: Relation) -> DataFrame:
    """The rows of a relation, or of a part of it, that the gate of the stream would let pass."""
    return rows.where(~reduce(lambda left, right: left | right, [condition for _, condition in _faults(relation)], F.lit(False)))


@dataclass(frozen=True, kw_only=True)
class DailyRows:
    """What a relation holds, counted in one pass.

    Attributes:
        tally: Its rows and the refused ones.
        days: Day since the epoch in UTC → rows that are not refused.
    """

    tally: RowCounts
    days: Mapping[int, int]


def census(relations: Iterable[tuple[str, DataFrame, Relation]]) -> dict[str, DailyRows]:
    """Count relations by day and fault, all in one Spark job; only these counts reach the driver.

    Args:
        relations: Name, rows (all or a part of them) and the relation of each.
    """
    given = list(relations)
    parts = []
    for name, rows, relation in given:
        broken = F.array_compact(
            F.array(*(F.when(condition, F.lit(number)) for number, (_, condition) in enumerate(_faults(relation))), F.lit(None).cast("int"))
        )
        day = F.floor(F.unix_millis(F.col(_quoted(relation.source.event_time))) / F.lit(DAY_MS)).alias("day")
        parts.append(rows.select(F.lit(name).alias("name"), day, broken.alias("faults")))
    counted = reduce(DataFrame.unionAll, parts).groupBy("name", "day", "faults").agg(F.count(F.lit(1)).alias("rows"))
    reasons = {name: [reason for reason, _ in _faults(relation)] for name, _, relation in given}
    totals: dict[str, int] = dict.fromkeys(reasons, 0)
    refused: dict[str, int] = dict.fromkeys(reasons, 0)
    told: dict[str, dict[str, int]] = {name: dict.fromkeys(found, 0) for name, found in reasons.items()}
    days: dict[str, dict[int, int]] = {name: {} for name in reasons}
    for row in at_once(counted):
        totals[row.name] += row.rows
        for number in row.faults:
            told[row.name][reasons[row.name][number]] += row.rows
        if row.faults:
            refused[row.name] += row.rows
        else:
            days[row.name][row.day] = row.rows
    return {
        name: DailyRows(tally=RowCounts(name=name, rows=totals[name], refused=refused[name], reasons=told[name]), days=days[name])
        for name in reasons
    }


def at_once(rows: DataFrame) -> Iterator[Row]:
    """Few rows of results, all computed in one job: an iterator over several partitions would run them one after the other."""
    return iter(rows.repartition(1).toLocalIterator())


def _faults(relation: Relation) -> list[tuple[str, Column]]:
    """Why a row is refused, as the gate of the stream refuses it; but for times ahead of the clock, which is another one later."""
    source, times = relation.source, {field.name for field in relation.schema.fields if field.type is DataType.TIMESTAMP}
    found = rules(relation.schema.fields, event_time=source.event_time, earliest_ms=source.earliest_ms)
    values = {name: f"UNIX_MILLIS({_quoted(name)})" for name in times}
    return [(rule.reason, F.expr(rule.sql.format(value=values.get(rule.field, _quoted(rule.field))))) for rule in found]


def _quoted(name: str) -> str:
    return f"`{name}`"
