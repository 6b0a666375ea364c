"""What holds for every aggregation, those included that a new file adds: they are found, they mean what their examples say, and they merge."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import features
from features.columns.tile_table import Tiles
from features.kernel.condense import condense
from features.kernel.fold import fold
from features.plan import ViewPlan
from features.tolerances import view_rules
from features.vocabulary.aggregation import Example
from features.vocabulary.aggregations import ALL
from tests.features.kernel.example import QUESTIONS, TILE_MS, VIEW
from tests.features.kernel.test_kernel_is_the_oracle import OWNERS, asked, assert_same, expected_of, inputs_of, values
from tests.features.prepared import prepared
from tests.features.vocabulary.every_aggregation import INPUTS, every, history, made, view_of

FINISHES = {each.finish for each in ALL.values()}
PARTS = {part for each in ALL.values() for part in each.parts}
EXAMPLES = [(word, example) for word, each in ALL.items() for example in each.examples]
_TYPES = {bool: "flag", int: "i", float: "x", str: "word", type(None): "i"}


def folded(view: ViewPlan, tiles: Tiles, keys: int) -> dict[str, list[Any]]:
    found = fold(view, tiles, owner=np.arange(keys), boundary_ms=np.full(keys, 60 * TILE_MS))
    return {name: values(column) for name, column in found.items()}


@pytest.mark.parametrize("word", ALL)
def test_an_aggregation_is_exported_and_shows_what_it_means(word: str) -> None:
    assert getattr(features, word) is ALL[word]
    assert ALL[word].examples
    assert ALL[word].__doc__


def test_what_fingerprints_tell_apart_by_name_has_names_of_its_own() -> None:
    assert len({part.kind for part in PARTS}) == len(PARTS)
    assert len({finish.name for finish in FINISHES}) == len(FINISHES)


@pytest.mark.parametrize(("word", "example"), EXAMPLES, ids=[f"{word}-{number}" for number, (word, _) in enumerate(EXAMPLES)])
@pytest.mark.parametrize("apart_ms", [1, TILE_MS])
def test_an_aggregation_makes_of_its_examples_what_they_say(word: str, example: Example, apart_ms: int) -> None:
    """In one tile, and in a tile each."""
    column = next((_TYPES[type(value)] for value in example.of if value is not None), "i" if ALL[word].input_types & {"int64"} else "word")
    view = view_of({"f": (made(word, example, column), column)})
    blank = dict.fromkeys(INPUTS.values())
    events = [{"key": "a", "t": place * apart_ms, "seq": None, **blank, column: value} for place, value in enumerate(example.of)]
    got = {name.removeprefix("f"): found[0] for name, found in folded(view, prepared(view, events, {"a": 0}), 1).items()}
    assert got == (example.makes if isinstance(example.makes, dict) else {"": example.makes})


@pytest.mark.parametrize("seed", range(5))
def test_events_merge_to_the_same_however_they_are_split(seed: int) -> None:
    """Tiles of single events, condensed in parts or not, fold to the same values: in every bit, but for sums of doubles."""
    view, events = every(), history(seed, 80)
    owners = {"a": 0, "b": 1}
    whole = folded(view, prepared(view, events, owners), 2)
    rng = random.Random(seed)
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for event in events:
        groups.setdefault((event["key"], event["t"] // TILE_MS, rng.randrange(2)), []).append(event)
    numbers = {key: number for number, key in enumerate(groups)}
    apart = prepared(
        view,
        [{**event, "key": str(number)} for key, number in numbers.items() for event in groups[key]],
        {str(n): n for n in numbers.values()},
    )
    columns = condense(view, apart, owners=len(groups))
    table = pa.table({column.name: columns[column.name].arrow(column.type) for column in view.tile_columns})
    owner = np.array([owners[key] for key, _, _ in groups])
    start = np.array([tile * TILE_MS for _, tile, _ in groups])
    split = folded(view, Tiles.of(view.tile_columns, owner=owner, start_ms=start, table=table), 2)
    rules = view_rules(view)
    for feature in view.features:
        allowed = 0.0 if rules[feature.name].allowed == 0 else 1e-9
        for one, other in zip(whole[feature.name], split[feature.name], strict=True):
            same = one == other or (isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=allowed))
            assert same, (feature.name, one, other)


@pytest.mark.parametrize("seed", range(5))
def test_a_prepared_event_is_the_tile_that_the_oracle_expects(seed: int) -> None:
    events = history(seed, 60)
    rows = [(key, as_of * TILE_MS) for key in ("a", "b", "silent") for as_of in (0, 5, 31)]
    owner, boundary = asked(rows)
    got = {name: values(column) for name, column in fold(VIEW, prepared(VIEW, events, OWNERS), owner=owner, boundary_ms=boundary).items()}
    for row, (key, as_of) in enumerate(rows):
        expected = expected_of(events, key, as_of)
        for question in QUESTIONS:
            assert_same(question, got[question.name][row], expected[question.name], inputs_of(question, events, key, as_of))
