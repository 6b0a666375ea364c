"""One view with every aggregation, its questions for the oracle, and a plain builder of its tiles from events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.tile_table import Tiles
from features.expressions.expression import Expression, parse
from features.partials.buckets import QUANTILE, BucketsPartial
from features.partials.count import CountPartial
from features.partials.edges import FirstPartial, LastPartial
from features.partials.extremes import MaxPartial, MinPartial
from features.partials.finish import MEAN, SHARE, VALUE, Finish
from features.partials.latest import LATEST, LatestPartial
from features.partials.map_partial import MapPartial
from features.partials.moments import STDDEV, VARIANCE, MomentsPartial
from features.partials.partial import Partial
from features.partials.registers import DISTINCT, RegistersPartial
from features.partials.sum import SumPartial
from features.partials.tally import CATEGORY, TOP, TallyPartial
from features.plan import SourcePlan, ViewPlan, WindowFeature
from features.window import Lifetime, Sliding, Window
from schemas.types import DataType
from tests.naive_entries import entries, latest
from tests.oracle import Question

TILE_MS = 60_000
DELAY_MS = 7_000
PER_OCTAVE = 64
WINDOWS_MS = {"1m": TILE_MS, "5m": 5 * TILE_MS, "3h": 180 * TILE_MS}
WINDOWS: Mapping[str, Window] = {label: Sliding(size_ms=size_ms) for label, size_ms in WINDOWS_MS.items()}
EVER_WINDOWS: Mapping[str, Window] = {"5m": Sliding(size_ms=5 * TILE_MS), "ever": Lifetime()}
HOP_WINDOWS: Mapping[str, Window] = {
    "5m": Sliding(size_ms=5 * TILE_MS),
    "12m_by_5m": Sliding(size_ms=12 * TILE_MS, hop_ms=5 * TILE_MS),
    "2h_by_1h": Sliding(size_ms=120 * TILE_MS, hop_ms=60 * TILE_MS),
    "3h": Sliding(size_ms=180 * TILE_MS),
}
"""Exact windows beside hops of several tiles, the one in the other; levels of 1, 5 and 60 minutes."""

COLUMNS = {
    "key": DataType.STRING,
    "t": DataType.TIMESTAMP,
    "x": DataType.FLOAT64,
    "i": DataType.INT64,
    "word": DataType.STRING,
    "flag": DataType.BOOLEAN,
    "at": DataType.TIMESTAMP,
    "seq": DataType.INT64,
}
NULLABLE = frozenset({"x", "i", "word", "flag", "at", "seq"})

SOURCE = SourcePlan(
    name="events",
    topic="events",
    schema="event",
    columns=COLUMNS,
    nullable=NULLABLE,
    event_time="t",
    lateness_ms=5_000,
    id=None,
    dedupe_ms=None,
    trusted=False,
)


def expression(text: str) -> Expression:
    """An expression over the example's events."""
    return parse(text, COLUMNS, NULLABLE, where="example")


def _partial(
    kind: type[Partial],
    column: str | None,
    *,
    where: str | None = None,
    tie: str | None = None,
    as_double: bool = False,
    parameter: int | None = None,
) -> Partial:
    value = None if column is None else expression(column)
    return kind.of(
        value.as_double() if value is not None and as_double else value,
        where=None if where is None else expression(where),
        tie=None if tie is None else expression(tie),
        parameter=parameter,
    )


Make = tuple[str, Finish, tuple[Partial, ...], DataType, str | None, bool, str | None]
Map = tuple[str, Finish, Partial, DataType, str, Sequence[Any]]


def _made() -> list[Make]:
    """(aggregation, finish, partials, type, column, whether filtered, tie) of every feature, before windows."""
    made: list[Make] = [
        ("Count", VALUE, (_partial(CountPartial, None),), DataType.INT64, None, False, None),
        ("Count", VALUE, (_partial(CountPartial, None, where="i > 0"),), DataType.INT64, None, True, None),
    ]
    for column in ("x", "i", "word", "flag", "at"):
        type_ = COLUMNS[column]
        made.append(("Count", VALUE, (_partial(CountPartial, column),), DataType.INT64, column, False, None))
        if type_.is_numeric:
            made.append(("Sum", VALUE, (_partial(SumPartial, column),), type_, column, False, None))
            mean = (_partial(SumPartial, column, as_double=True), _partial(CountPartial, column))
            made.append(("Mean", MEAN, mean, DataType.FLOAT64, column, False, None))
            moments = (_partial(MomentsPartial, column),)
            made.append(("Variance", VARIANCE, moments, DataType.FLOAT64, column, False, None))
            made.append(("StdDev", STDDEV, moments, DataType.FLOAT64, column, False, None))
            made.append(("Sum", VALUE, (_partial(SumPartial, column, where="i > 0"),), type_, column, True, None))
        for name, edge in (("Min", MinPartial), ("Max", MaxPartial), ("First", FirstPartial), ("Last", LastPartial)):
            made.append((name, VALUE, (_partial(edge, column),), type_, column, False, None))
            if edge in (FirstPartial, LastPartial):
                made.append((name, VALUE, (_partial(edge, column, tie="seq"),), type_, column, False, "seq"))
    return made


def _maps() -> list[Map]:
    """(aggregation, finish, partial, type, column, arguments) of every feature of a map."""
    made: list[Map] = []
    for column in ("word", "i", "flag"):
        tally = _partial(TallyPartial, column, where="i > 0" if column == "flag" else None)
        made.append(("TopK", TOP, tally, DataType.STRING, column, (1, 2)))
        made.append(("CategoryCounts", CATEGORY, tally, DataType.INT64, column, ("", "a", "2", "true", "a,\\b")))
        made.append(("CountDistinct", DISTINCT, _partial(RegistersPartial, column), DataType.INT64, column, (None,)))
    for column in ("x", "i", "word", "flag"):
        latest = _partial(LatestPartial, column, parameter=2)
        made.append(("LastN", LATEST, latest, COLUMNS[column], column, (1, 2)))
    for column in ("x", "i"):
        buckets = _partial(BucketsPartial, column, parameter=PER_OCTAVE)
        made.append(("Quantile", QUANTILE, buckets, DataType.FLOAT64, column, (0.0, 0.5, 0.95, 1.0)))
    return made


def _pick(column: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda event: event[column]


def _positive(event: Mapping[str, Any]) -> bool | None:
    return None if event["i"] is None else event["i"] > 0


def build_view(windows: Mapping[str, Window]) -> tuple[ViewPlan, list[Question]]:
    """The view of every aggregation over some windows, by label, and its questions."""
    features, questions = [], []
    partials: dict[str, Partial] = {}
    for label, window in windows.items():
        window_ms = window.size_ms if isinstance(window, Sliding) else None
        hop_ms = window.hop_ms if isinstance(window, Sliding) and window.hop_ms > 1 else None
        for aggregation, finish, parts, type_, column, filtered, tie in _made():
            name = "_".join(
                part for part in (aggregation.lower(), column, "where" if filtered else None, "by_seq" if tie else None, label) if part
            )
            features.append(WindowFeature(name=name, finish=finish, partials=parts, window=window, type=type_, text=name))
            value, where, by = _pick(column) if column else None, _positive if filtered else None, _pick(tie) if tie else None
            questions.append(
                Question(name=name, aggregation=aggregation, window_ms=window_ms, hop_ms=hop_ms, value=value, where=where, tie=by)
            )
            partials |= {part.name: part for part in parts}
        for column in (None, "x"):
            parts = (_partial(CountPartial, column, where="i > 0"), _partial(CountPartial, column))
            name = "_".join(part for part in ("share", column, label) if part)
            features.append(WindowFeature(name=name, finish=SHARE, partials=parts, window=window, type=DataType.FLOAT64, text=name))
            value = _pick(column) if column else None
            questions.append(Question(name=name, aggregation="Share", window_ms=window_ms, hop_ms=hop_ms, value=value, where=_positive))
            partials |= {part.name: part for part in parts}
        for aggregation, finish, partial, type_, column, arguments in _maps():
            for number, argument in enumerate(arguments):
                name = f"{aggregation.lower()}_{column}_{label}_{number}"
                parts = (partial,)
                features.append(
                    WindowFeature(name=name, finish=finish, partials=parts, window=window, type=type_, text=name, argument=argument)
                )
                where = None if partial.where is None else _positive
                question = Question(
                    name=name,
                    aggregation=aggregation,
                    window_ms=window_ms,
                    hop_ms=hop_ms,
                    value=_pick(column),
                    where=where,
                    argument=argument,
                )
                questions.append(question)
            partials[partial.name] = partial
    view = ViewPlan(
        name="everything",
        entity="key",
        keys=(Column(name="key", type=DataType.STRING),),
        source=SOURCE,
        tile_ms=TILE_MS,
        delay_ms=DELAY_MS,
        where=None,
        partials=tuple(partials.values()),
        features=tuple(features),
    )
    return view, questions


VIEW, QUESTIONS = build_view(WINDOWS)
EVER_VIEW, EVER_QUESTIONS = build_view(EVER_WINDOWS)
HOP_VIEW, HOP_QUESTIONS = build_view(HOP_WINDOWS)


def build_tiles(view: ViewPlan, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tiles as plain rows: key, tile_start and the tile columns; events grouped and looped over one by one."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        groups[event["key"], event["t"] // view.tile_ms * view.tile_ms].append(event)
    rows = []
    for (key, start), members in groups.items():
        row: dict[str, Any] = {"key": key, "tile_start": start}
        counted = {True: [event for event in members if _positive(event)], False: members}
        known: dict[tuple[bool, str], list[Mapping[str, Any]]] = {}
        for partial in view.partials:
            filtered, column = partial.where is not None, None if partial.input is None else partial.input.columns[0]
            if column is None:
                row[partial.name] = len(counted[filtered])
                continue
            if (filtered, column) not in known:
                known[filtered, column] = [event for event in counted[filtered] if event[column] is not None]
            row |= _partial_of(partial, column, known[filtered, column])
        rows.append(row)
    return rows


def _partial_of(partial: Partial, column: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a tile keeps of its events that have a value in `column`."""
    values = [event[column] for event in events]
    if isinstance(partial, CountPartial):
        return {partial.name: len(values)}
    if not values:
        return dict.fromkeys((c.name for c in partial.columns), None)
    if isinstance(partial, LatestPartial):
        return {partial.name: latest([(event["t"], event[column]) for event in events], partial.parameter or 1)}
    if isinstance(partial, MapPartial):
        return {partial.name: entries(partial.kind, values, partial.parameter)}
    match partial:
        case SumPartial():
            if partial.type is DataType.INT64:
                return {partial.name: (sum(values) + 2**63) % 2**64 - 2**63}
            return {partial.name: sum(float(value) for value in values)}
        case MinPartial():
            return {partial.name: min(values)}
        case MaxPartial():
            return {partial.name: max(values)}
        case MomentsPartial():
            pivot = float(values[0])
            off = [float(value) - pivot for value in values]
            names = [c.name for c in partial.columns]
            return dict(zip(names, (len(off), pivot, sum(off), sum(d * d for d in off)), strict=True))
    tie = None if partial.tie is None else partial.tie.columns[0]
    pick = min if isinstance(partial, FirstPartial) else max
    best = pick(events, key=lambda e: (e["t"], tie is not None and e[tie] is not None, (tie and e[tie]) or 0, e[column]))
    own = {} if tie is None else {f"{partial.name}__tie": best[tie]}
    return {f"{partial.name}__at": best["t"], **own, partial.name: best[column]}


def tile_table(view: ViewPlan, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `build_tiles` as Arrow: key columns, tile_start (int64 ms) and the tile columns."""
    schema = (
        [(key.name, key.type.arrow) for key in view.keys]
        + [("tile_start", pa.int64())]
        + [(c.name, c.type.arrow) for c in view.tile_columns]
    )
    return pa.table({name: pa.array([row[name] for row in rows], type=type_) for name, type_ in schema})


def as_tiles(view: ViewPlan, rows: Sequence[Mapping[str, Any]], owners: Mapping[str, int]) -> Tiles:
    """Rows of `build_tiles` as the kernel's input."""
    table = tile_table(view, rows)
    owner = np.array([owners[row["key"]] for row in rows], dtype=np.int64)
    return Tiles.of(view.tile_columns, owner=owner, start_ms=table["tile_start"].to_numpy(), table=table)
