"""A view of every aggregation that the vocabulary has, found as `features` finds them, with each example's arguments over each type."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from features.partials.partial import Partial
from features.plan import ViewPlan, WindowFeature
from features.vocabulary.aggregation import Aggregation, Example, Inputs
from features.vocabulary.aggregations import ALL
from features.window import Sliding
from schemas.types import DataType
from tests.features.kernel.example import COLUMNS, NULLABLE, TILE_MS, VIEW, expression

INPUTS = {DataType.FLOAT64: "x", DataType.INT64: "i", DataType.STRING: "word", DataType.BOOLEAN: "flag", DataType.TIMESTAMP: "at"}


def view_of(features: Mapping[str, tuple[Aggregation, str]]) -> ViewPlan:
    """A view of named aggregations, each over a column of the example's events."""
    built: list[WindowFeature] = []
    partials: dict[str, Partial] = {}
    for name, (aggregation, column) in features.items():
        value = None if column is None else expression(column)
        where = None if aggregation.where is None else expression(aggregation.where.replace("v", column))
        parts = aggregation.partials(Inputs(value=value, where=where, tie=None))
        partials |= {part.name: part for part in parts}
        for end, argument in aggregation.outputs.items():
            type_ = aggregation.output_type or parts[0].output_type
            window = Sliding(size_ms=100 * TILE_MS)
            built.append(
                WindowFeature(
                    name=f"{name}{end}", finish=aggregation.finish, partials=parts, window=window, type=type_, text=name, argument=argument
                )
            )
    return ViewPlan(
        name="found",
        entity="key",
        keys=VIEW.keys,
        source=VIEW.source,
        tile_ms=TILE_MS,
        delay_ms=0,
        where=None,
        partials=tuple(partials.values()),
        features=tuple(built),
    )


def made(word: str, example: Example, column: str) -> Aggregation:
    """The aggregation of an example."""
    return ALL[word](column, **example.arguments)  # type: ignore[arg-type]


def every(columns: Collection[str] = tuple(INPUTS.values())) -> ViewPlan:
    """All of them, over every one of these columns that they take; conditions of examples are about numbers."""
    features: dict[str, tuple[Aggregation, str]] = {}
    for word, each in ALL.items():
        example = each.examples[0]
        for type_, column in INPUTS.items():
            if column in columns and type_ in each.input_types and (type_.is_numeric or "where" not in example.arguments):
                features[f"{word.lower()}_{column}"] = made(word, example, column), column
    return view_of(features)


def history(seed: int, size: int, keys: str = "ab") -> list[dict[str, Any]]:
    """Random events; values that every aggregation of numbers can do something with."""
    rng = random.Random(seed)
    assert COLUMNS.keys() - NULLABLE == {"key", "t"}
    return [
        {
            "key": rng.choice(keys),
            "t": rng.randrange(0, 30 * TILE_MS),
            "x": rng.choice([None, rng.uniform(-100, 100), rng.randrange(1, 50) / 4]),
            "i": rng.choice([None, rng.randrange(-9, 9)]),
            "word": rng.choice([None, "", "a", "b", "ä", "a,\\b"]),
            "flag": rng.choice([None, True, False]),
            "at": rng.choice([None, rng.randrange(10**12)]),
            "seq": None,
        }
        for _ in range(size)
    ]
