"""Planted differences are found, and only those; parts compared apart add up to the whole."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.expressions.expression import parse
from features.partials.count import CountPartial
from features.partials.edges import LastPartial
from features.partials.extremes import MaxPartial
from features.partials.finish import MEAN, VALUE, Finish
from features.partials.partial import Partial
from features.partials.sum import SumPartial
from features.plan import RequestFeature, ServicePlan, SourcePlan, ViewPlan, WindowFeature
from features.vocabulary.derived import DerivedFeature, derived_feature
from features.window import Sliding
from jobs.parity.comparison import DUE, compare
from jobs.parity.findings import SIZES, Case, Cases, Parity, Timeline, sizes
from jobs.parity.report import SIZE_NAMES
from schemas.types import DataType

HOUR_MS = 3_600_000
SOURCE = SourcePlan(
    name="asks",
    topic="asks",
    schema="ask",
    columns={"id": DataType.STRING, "at": DataType.TIMESTAMP, "who": DataType.STRING},
    nullable=frozenset({"who"}),
    event_time="at",
    lateness_ms=0,
    id="id",
    dedupe_ms=None,
    trusted=False,
)


def _feature(name: str, kind: type[Partial], type_: DataType, finish: Finish = VALUE) -> WindowFeature:
    partial = kind(name=f"p_{name}", input=parse("x", {"x": type_}, frozenset(), "test"))
    return WindowFeature(name=name, finish=finish, partials=(partial,), window=Sliding(size_ms=HOUR_MS), type=type_, text=name)


FEATURES = (
    _feature("count", CountPartial, DataType.INT64),
    _feature("whole_sum", SumPartial, DataType.INT64),
    _feature("sum", SumPartial, DataType.FLOAT64),
    _feature("mean", SumPartial, DataType.FLOAT64, MEAN),
    _feature("max", MaxPartial, DataType.FLOAT64),
    _feature("last", LastPartial, DataType.STRING),
)
VIEW = ViewPlan(name="view", entity="e", keys=(), source=SOURCE, tile_ms=HOUR_MS, delay_ms=0, where=None, partials=(), features=FEATURES)
SERVICE = ServicePlan(name="service", request=SOURCE, views=(VIEW,), request_features=(), label=None)
TYPES = (
    {name: type_.arrow for name, type_ in SOURCE.columns.items()}
    | {feature.name: feature.type.arrow for feature in FEATURES}
    | {"frontier": DataType.TIMESTAMP.arrow, "stale": pa.bool_(), DUE: pa.bool_()}
)


def _table(**changed: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "id": ["a", "b", "c"],
        "at": [2 * HOUR_MS, 2 * HOUR_MS + 1, 3 * HOUR_MS],
        "who": ["ann", None, "bob"],
        "count": [0, 2, 3],
        "whole_sum": [0, 5, -7],
        "sum": [0.0, 0.1 + 0.2, 4.0],
        "mean": [None, 0.5, 4.0],
        "max": [None, 0.5, -4.0],
        "last": [None, "x", "y"],
        "frontier": [3 * HOUR_MS] * 3,
        "stale": [False, False, False],
    }
    return pa.table({name: pa.array(values, type=TYPES[name]) for name, values in (columns | changed).items()})


def _compare(served: pa.Table, recomputed: pa.Table | None = None, **options: Any) -> Parity:
    recomputed = _table() if recomputed is None else recomputed
    return compare(SERVICE, served, recomputed, **({"requests": _table()} | options))


def _different(parity: Parity) -> dict[str, int]:
    return {column.name: column.different for column in parity.columns if column.different}


def test_equal_tables_are_equal_whatever_their_order() -> None:
    parity = _compare(_table(), _table().take([2, 0, 1]))
    assert parity.summary() == {"compared": 18, "equal": 18, "different": 0, "missing": 0, "extra": 0}
    assert parity.allowed
    assert (parity.exact_share, parity.different_rows, parity.repeats) == (1.0, 0, 0)
    assert {column.name: column.empty for column in parity.columns if column.empty} == {"mean": 1, "max": 1, "last": 1}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("count", [0, 2, 4]),
        ("whole_sum", [0, 5, -8]),
        ("sum", [0.0, (0.1 + 0.2) * (1 + 3e-12), 4.0]),
        ("sum", [1e-300, 0.1 + 0.2, 4.0]),
        ("mean", [0.0, 0.5, 4.0]),
        ("mean", [None, None, 4.0]),
        ("mean", [None, math.nan, 4.0]),
        ("max", [None, math.nextafter(0.5, 1), -4.0]),
        ("max", [None, 0.5, math.inf]),
        ("last", [None, "x", "z"]),
        ("last", ["", "x", "y"]),
    ],
)
def test_a_planted_difference_is_found(column: str, values: list[Any]) -> None:
    for served, recomputed in ((_table(**{column: values}), _table()), (_table(), _table(**{column: values}))):
        parity = _compare(served, recomputed)
        assert _different(parity) == {column: 1}
        assert not parity.allowed
        assert parity.different_rows == 1
        (found,) = (each for each in parity.columns if each.different)
        (example,) = found.examples
        row = [one == two for one, two in zip(values, _table()[column].to_pylist(), strict=True)].index(False)
        assert (example.name, example.at_ms) == (["a", "b", "c"][row], _table()["at"].cast(pa.int64())[row].as_py())
        assert example.key["who"] == ["ann", None, "bob"][row]
        assert repr((example.online, example.history)) == repr((served[column][row].as_py(), recomputed[column][row].as_py()))


def test_nan_is_equal_to_nothing() -> None:
    nan = _table(mean=[None, math.nan, 4.0])
    assert _different(_compare(nan, nan)) == {"mean": 1}


def test_a_request_with_a_number_that_is_none_is_the_same_request() -> None:
    source = replace(SOURCE, columns={**SOURCE.columns, "size": DataType.FLOAT64})
    given = RequestFeature(name="size", expression=parse("size", source.columns, source.nullable, where="test"))
    service = replace(SERVICE, request=source, request_features=(given,))

    def sized(*sizes: float) -> pa.Table:
        return _table().append_column("size", pa.array(sizes, pa.float64()))

    nan = sized(math.nan, 1.0, 2.0)
    parity = compare(service, pa.concat_tables([nan, nan]), nan, requests=nan)
    assert (parity.extra.count, parity.repeats, parity.compared, parity.allowed) == (0, 3, 21, True)
    for other in (sized(1.0, 1.0, 2.0), sized(math.inf, 1.0, 2.0)):
        parity = compare(service, nan, other, requests=nan)
        assert [case.note for case in parity.extra.first] == ["another request under the same id"]


def above(sum: Any, mean: Any) -> Any:
    return np.where(sum - mean > 0, 1.0, sum - mean)


def derived_of(table: pa.Table, **changed: list[Any]) -> pa.Table:
    values = ABOVE.evaluate({name: table[name] for name in ABOVE.inputs}).to_pylist()
    return table.append_column("above", pa.array(changed.get("above", values), pa.float64()))


_above = derived_feature("above", above)
assert isinstance(_above, DerivedFeature)
ABOVE = _above


def test_a_derived_feature_is_the_function_of_what_was_served_to_the_bit() -> None:
    """A threshold, and a difference that cancels, of two sums that differ in their last bit only."""
    service = replace(SERVICE, derived=(ABOVE,))
    served, again = (derived_of(_table(sum=[0.0, value, 4.0], mean=[None, 0.1 + 0.2, 4.0 - 1e-15])) for value in (0.3, 0.1 + 0.2))
    assert served["above"].to_pylist() != again["above"].to_pylist()
    parity = compare(service, pa.concat_tables([served, again]), again, requests=served)
    assert (parity.different, parity.repeats, parity.extra.count, parity.allowed) == (0, 3, 0, True)

    wrong = [None, math.nextafter(served["above"][1].as_py(), 1), 0.0]
    for one, other in ((wrong, None), (None, wrong)):
        planted = [
            table if values is None else derived_of(table.drop_columns(["above"]), above=values)
            for table, values in ((served, one), (again, other))
        ]
        parity = compare(service, planted[0], planted[1], requests=served)
        assert {column.name: column.different for column in parity.columns if column.different} == {"above": 2}


def test_sums_may_differ_by_their_order_of_summation() -> None:
    parity = _compare(_table(sum=[0.0, 0.3, 4.0]))
    assert parity.allowed
    assert 0 < max(column.largest for column in parity.columns) < 1e-15


def test_stale_predictions_are_counted_and_listed_but_not_compared() -> None:
    parity = _compare(_table(count=[9, 2, 3], stale=[True, False, False], frontier=[HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS]))
    assert (parity.compared, parity.different, parity.allowed) == (12, 0, True)
    assert parity.stale == Cases(count=1, first=(Case(at_ms=2 * HOUR_MS, name="a", note="1 h behind"),))
    assert parity.exact_share == pytest.approx(2 / 3)


@pytest.mark.parametrize(("frontier", "behind"), [(2 * HOUR_MS, 0), (2 * HOUR_MS - 1, 1), (None, 1)])
def test_a_prediction_that_claims_more_than_its_frontier_allows_is_found(frontier: int | None, behind: int) -> None:
    parity = _compare(_table(frontier=[frontier, 3 * HOUR_MS, 3 * HOUR_MS]))
    assert parity.unbacked.count == behind
    assert parity.allowed is (behind == 0)
    assert [case.name for case in parity.unbacked.first] == ["a"] * behind


def test_missing_and_extra_predictions_are_told_by_name() -> None:
    parity = _compare(_table().slice(1))
    assert (parity.missing.count, parity.extra.count) == (1, 0)
    assert parity.missing.first == (Case(at_ms=2 * HOUR_MS, name="a", note="no prediction"),)
    parity = _compare(_table(id=["a", "b", "nobody"]))
    assert (parity.missing.count, parity.extra.count) == (1, 1)
    assert [case.name for case in parity.extra.first] == ["nobody"]


def test_a_request_that_came_while_the_topics_were_read_is_not_missing_yet() -> None:
    requests = _table(**{DUE: [True, True, False]})
    assert _compare(_table().slice(0, 2), requests=requests).missing.count == 0
    assert _compare(_table().slice(1), requests=requests).missing.count == 1
    assert _compare(_table(), requests=requests).extra.count == 0


def test_without_requests_nobody_knows_what_is_missing() -> None:
    parity = _compare(_table().slice(1), requests=None)
    assert (parity.missing.count, parity.extra.count, parity.allowed) == (0, 0, True)


def test_a_second_copy_is_allowed_and_a_second_answer_is_not() -> None:
    copies = pa.concat_tables([_table(), _table()])
    parity = _compare(copies)
    assert (parity.repeats, parity.extra.count, parity.compared, parity.allowed) == (3, 0, 18, True)
    parity = _compare(pa.concat_tables([_table(), _table(count=[0, 2, 4]).slice(2)]))
    assert (parity.repeats, parity.extra.count, parity.allowed) == (0, 1, False)
    assert parity.extra.first == (Case(at_ms=3 * HOUR_MS, name="c", note="a different answer to the same request"),)
    by_summation = _compare(pa.concat_tables([_table(), _table(sum=[0.0, 0.3, 4.0])]))
    assert (by_summation.repeats, by_summation.allowed) == (3, True)


def test_a_stale_copy_beside_an_exact_one_is_stale_and_not_extra() -> None:
    stale = _table(count=[9, 9, 9], stale=[True, True, True])
    for tables in ([stale, _table()], [_table(), stale]):
        parity = _compare(pa.concat_tables(tables))
        assert (parity.stale.count, parity.extra.count, parity.compared, parity.allowed) == (3, 0, 18, True)


def test_another_request_under_the_same_id_is_not_compared_but_extra() -> None:
    parity = _compare(_table(who=["eve", None, "bob"], count=[7, 2, 3]))
    assert (parity.extra.count, parity.different, parity.compared) == (1, 0, 12)
    assert parity.extra.first[0].note == "another request under the same id"


def test_what_history_did_not_compute_is_extra_unless_it_was_left_out_of_a_sample() -> None:
    some = _table().slice(1)
    assert _compare(_table(), some).extra.count == 1
    sampled = _compare(_table(), some, sampled=True)
    assert (sampled.extra.count, sampled.missing.count, sampled.compared, sampled.allowed) == (0, 0, 12, True)
    strangers = _compare(_table(id=["a", "b", "nobody"]), some, sampled=True)
    assert (strangers.extra.count, strangers.missing.count) == (1, 1)


def test_parts_add_up_to_the_whole_however_they_are_cut() -> None:
    random = np.random.default_rng(7)
    n, kept = 400, 3
    ids = [f"r{number}" for number in range(n)]
    times = random.integers(2 * HOUR_MS, 40 * HOUR_MS, n).tolist()
    columns: dict[str, list[Any]] = {
        "id": ids,
        "at": times,
        "who": ["ann"] * n,
        "count": random.integers(0, 5, n).tolist(),
        "whole_sum": [1] * n,
        "sum": random.normal(size=n).tolist(),
        "mean": [None] * n,
        "max": random.normal(size=n).tolist(),
        "last": ["x"] * n,
        "frontier": [50 * HOUR_MS] * n,
        "stale": (random.random(n) < 0.1).tolist(),
    }
    history = _table(**columns)
    served = _table(**columns | {"count": [value + (random.random() < 0.1) for value in columns["count"]]})
    served, timeline = served.filter(pa.array(random.random(n) < 0.9)), Timeline.empty(min(times), max(times) + 1)
    whole = compare(SERVICE, served, history, requests=history, timeline=timeline, examples=kept)

    def part(number: int) -> Parity:
        own = [pa.array([hash_of(str(each)) % 5 == number for each in table["id"].to_pylist()]) for table in (served, history)]
        past = history.filter(own[1])
        return compare(SERVICE, served.filter(own[0]), past, requests=past, timeline=timeline, examples=kept)

    parts = [part(number) for number in range(5)]
    for order in (parts, parts[::-1]):
        merged = reduce(lambda one, other: one.merged(other, kept), order)
        assert repr(merged) == repr(whole)
    assert whole.timeline is not None
    assert int(whole.timeline.different.sum()) == whole.different_rows > 10
    assert int(whole.timeline.equal.sum() + whole.timeline.different.sum() + whole.timeline.stale.sum()) == len(served)


def hash_of(text: str) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


def test_every_size_has_a_place() -> None:
    given = [0.0, 5e-324, 1e-16, 1.1e-16, 1e-12, 1.1e-12, 0.5, 1.0, 2.0, math.inf]
    names = [SIZE_NAMES[int(np.flatnonzero(sizes(np.array([each])))[0])] for each in given]
    assert names == ["0", "1e-16", "1e-16", "1e-15", "1e-12", "1e-11", "1", "1", "above 1", "no size"]
    assert len(SIZE_NAMES) == SIZES


@pytest.mark.parametrize("span_ms", [1, 999, 60_000, 86_400_000, 400 * 86_400_000])
def test_a_timeline_covers_its_time_in_few_round_parts(span_ms: int) -> None:
    low = 1_380_628_812_345
    timeline = Timeline.empty(low, low + span_ms)
    assert timeline.edges_ms[0] <= low < timeline.edges_ms[-1]
    assert timeline.edges_ms[-1] >= low + span_ms
    assert 1 <= len(timeline.equal) <= 60
