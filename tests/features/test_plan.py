"""Definitions → plan: partials are shared and named by content, names are variables, and folders anywhere load alike."""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import features
from features.catalog import load
from features.durations import milliseconds, show
from features.partials.moments import STDDEV, VARIANCE
from features.plan import Plan, ViewPlan, describe_service
from features.vocabulary.aggregations import ALL
from schemas.envelope import Envelope
from schemas.types import DataType
from tests.features.kernel.example import QUESTIONS

EVERY = Path(__file__).parent / "every"
HEAD = """
from datetime import timedelta
from features import Count, Entity, FeatureService, FeatureView, First, Last, Lifetime, Max, Mean, Min, StdDev, Sum, Variance
from .sources import events, hour, minute, requests, user
"""


@pytest.fixture(scope="module")
def every() -> Plan:
    return load(EVERY / "definitions", EVERY / "schemas")


def compiled(tmp_path: Path, **modules: str) -> Plan:
    folder = tmp_path / "definitions"
    folder.mkdir(exist_ok=True)
    shutil.copy(EVERY / "definitions" / "sources.py", folder)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(HEAD + text)
    return load(folder, EVERY / "schemas")


def view(tmp_path: Path, *features: str, options: str = "") -> ViewPlan:
    named = ", ".join(f'"f{index}": {feature}' for index, feature in enumerate(features))
    text = f"v = FeatureView(entity=user, source=events, tile=minute, features={{{named}}}{options})"
    return compiled(tmp_path, v=text).views["v"]


def test_mean_sum_and_count_of_one_input_share_columns(tmp_path: Path) -> None:
    plan = view(tmp_path, 'Mean("amount").over(hour)', 'Sum("amount").over(hour)', 'Count("amount").over(2 * hour)', "Count().over(hour)")
    assert [partial.name for partial in plan.partials] == ["sum_amount", "count_amount", "count"]
    assert [[partial.name for partial in feature.partials] for feature in plan.features] == [
        ["sum_amount", "count_amount"],
        ["sum_amount"],
        ["count_amount"],
        ["count"],
    ]


def test_variance_and_standard_deviation_share_moments(tmp_path: Path) -> None:
    plan = view(tmp_path, 'Variance("items").over(hour)', 'StdDev("items").over(hour)')
    assert [column.name for column in plan.tile_columns] == [f"moments_items__{part}" for part in ("n", "pivot", "s1", "s2")]
    assert [feature.finish for feature in plan.features] == [VARIANCE, STDDEV]
    assert plan.partials[0].input is not None
    assert plan.partials[0].input.type is DataType.FLOAT64


def test_spelling_of_a_condition_makes_no_second_column(tmp_path: Path) -> None:
    plan = view(tmp_path, 'Count(where="amount > 15").over(hour)', 'Count(where="(amount>15.0)").over(hour)')
    assert len(plan.partials) == 1


def test_the_plain_and_the_converted_input_are_two(tmp_path: Path) -> None:
    plan = view(tmp_path, 'Sum("items").over(hour)', 'Sum("CAST(items AS DOUBLE)").over(hour)')
    assert [partial.type for partial in plan.partials] == [DataType.INT64, DataType.FLOAT64]
    assert plan.partials[0].name == "sum_items" != plan.partials[1].name


@pytest.mark.parametrize(
    ("feature", "type_"),
    [
        ("Count()", DataType.INT64),
        ('Count("colour")', DataType.INT64),
        ('Sum("items")', DataType.INT64),
        ('Sum("amount")', DataType.FLOAT64),
        ('Mean("items")', DataType.FLOAT64),
        ('Min("items")', DataType.INT64),
        ('Max("shipped")', DataType.TIMESTAMP),
        ('Min("colour")', DataType.STRING),
        ('First("paid")', DataType.BOOLEAN),
        ('Last("colour", tie="id")', DataType.STRING),
        ('Variance("items")', DataType.FLOAT64),
    ],
)
def test_types_follow_the_input(feature: str, type_: DataType, tmp_path: Path) -> None:
    assert view(tmp_path, f"{feature}.over(hour)").features[0].type is type_


def test_columns_of_first_and_last_keep_time_and_tie(every: Plan) -> None:
    partial = next(p for p in every.views["every_aggregation"].partials if p.kind == "last" and p.type is DataType.STRING)
    assert [(column.name.removeprefix(partial.name), column.type) for column in partial.columns] == [
        ("__at", DataType.INT64),
        ("__tie", DataType.STRING),
        ("", DataType.STRING),
    ]


INPUTS = ["amount", "items", "amount + 1", "items * 2", "discount"]
WHERES = [None, "paid", "amount > 3", "NOT paid"]
aggregations = st.builds(
    lambda kind, of, where: f'{kind}("{of}"{"" if where is None else f", where={where!r}"}).over(hour)',
    st.sampled_from(["Count", "Sum", "Mean", "Min", "Max", "Variance", "StdDev", "First", "Last"]),
    st.sampled_from(INPUTS),
    st.sampled_from(WHERES),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(aggregations, min_size=1, max_size=6), aggregations)
def test_adding_a_feature_never_renames_anothers_columns(tmp_path: Path, before: list[str], added: str) -> None:
    old, new = view(tmp_path, *before), view(tmp_path, added, *before)
    assert [f.partials for f in new.features[1:]] == [f.partials for f in old.features]
    names = [column.name for column in new.tile_columns]
    assert len(set(names)) == len(names)


def test_delay_is_lateness_and_two_seconds_unless_told(tmp_path: Path) -> None:
    assert view(tmp_path, "Count().over(hour)").delay_ms == 32_000
    assert view(tmp_path, "Count().over(hour)", options=", delay=timedelta(0)").delay_ms == 0


def test_a_view_imported_elsewhere_is_not_a_second_view(tmp_path: Path) -> None:
    one = "v = FeatureView(entity=user, source=events, tile=minute, features={'n': Count().over(hour)})"
    plan = compiled(tmp_path, a=one, b="from .a import v\nfrom .a import v as w\n", c="from .a import *\nfrom . import a\n")
    assert list(plan.views) == ["v"]


def test_subfolders_and_an_init_file_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "definitions" / "team").mkdir(parents=True)
    (tmp_path / "definitions" / "__init__.py").write_text("from .a import v\n")
    text = "v = FeatureView(entity=user, source=events, tile=minute, features={'n': Count().over(hour)})"
    (tmp_path / "definitions" / "team" / "b.py").write_text((HEAD + text.replace("v =", "w =")).replace("from .sources", "from ..sources"))
    plan = compiled(tmp_path, a=text)
    assert sorted(plan.views) == ["v", "w"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    for minutes in (10, 20):
        assert view(tmp_path, f"Count().over({minutes} * minute)").longest_window_ms == minutes * 60_000
    assert not list(tmp_path.rglob("__pycache__"))


def test_loading_leaves_no_public_module_behind() -> None:
    before = set(sys.modules)
    load(EVERY / "definitions", EVERY / "schemas")
    assert all(name.startswith("_tidemark_definitions_") for name in set(sys.modules) - before)


def test_a_plan_survives_pickling(every: Plan) -> None:
    assert pickle.loads(pickle.dumps(every)) == every


def test_request_features_evaluate_over_requests(every: Plan) -> None:
    requests = pa.table({"price": [4.0, 5.0], "colour": ["red", "blue"]})
    values = {feature.name: feature.expression.evaluate(requests).to_pylist() for feature in every.services["buy"].request_features}
    assert values == {"price": [4.0, 5.0], "cheap": [True, False], "red": [True, False]}


def test_feature_vector_is_request_features_then_views_in_declared_order(every: Plan) -> None:
    names = list(every.services["buy"].feature_types)
    assert names[:4] == ["price", "cheap", "red", "events_10m"]
    assert names[-2:] == ["spent_1h", "paid_ratio"]


def test_fingerprints_change_with_meaning_and_only_then(tmp_path: Path) -> None:
    plain = view(tmp_path, 'Count(where="paid").over(hour)').fingerprint
    assert view(tmp_path, 'Count(where="(paid)").over(hour)').fingerprint == plain
    assert view(tmp_path, 'Count(where="NOT paid").over(hour)').fingerprint != plain
    assert view(tmp_path, 'Count(where="paid").over(2 * hour)').fingerprint != plain


def test_a_hop_of_one_tile_is_the_exact_window(tmp_path: Path) -> None:
    plain, hopped = (view(tmp_path, f"Count().over(hour{hop})") for hop in ("", ", hop=minute"))
    assert hopped == plain
    assert hopped.fingerprint == plain.fingerprint
    assert hopped.features[0].text == "Count().over(1h)"
    assert view(tmp_path, "Count().over(hour, hop=2 * minute)").fingerprint != plain.fingerprint


def test_levels_of_tiles_follow_from_the_hops_and_lifetime_has_one(tmp_path: Path) -> None:
    day = "24 * hour"
    assert view(tmp_path, f"Count().over(30 * {day})").levels_ms == (60_000,)
    assert view(tmp_path, f"Count().over(30 * {day}, hop={day})", "Count().over(hour)").levels_ms == (60_000, 3_600_000, 86_400_000)
    assert view(tmp_path, f"Count().over(30 * {day}, hop={day})", "Lifetime(Count())").levels_ms == (60_000,)


def test_the_shipped_example_compiles() -> None:
    plan = load(None, None)
    assert sorted(plan.views) == ["aircraft_arrivals", "carrier_origin_departures", "destination_arrivals", "origin_departures"]
    assert describe_service(plan.services["flight_delay"])["label"] == {
        "source": "arrivals",
        "on": "flight_id",
        "value": "arr_delay > 15.0",
    }


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(hours=1), "1h"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=2, milliseconds=5), "2d5ms"),
        (timedelta(0), "0s"),
        (-timedelta(seconds=1), "-1s"),
    ],
)
def test_durations_are_shown_as_people_write_them(duration: timedelta, text: str) -> None:
    whole = milliseconds(duration)
    assert whole is not None
    assert show(whole) == text


def test_every_word_of_the_vocabulary_is_in_the_tests_view_and_in_the_kernels() -> None:
    """To add an aggregation is one class; what is not tested yet is found here."""
    words = set(ALL) & set(features.__all__)  # an aggregation of one's own file says by its examples what it means
    view = load(EVERY / "definitions", EVERY / "schemas").views["every_aggregation"]
    assert {feature.text.partition("(")[0] for feature in view.features} == words
    assert {question.aggregation for question in QUESTIONS} == words
    kinds, finishes = {partial.kind for partial in view.partials}, {feature.finish for feature in view.features}
    assert kinds == {part.kind for name in words for part in ALL[name].parts}
    assert finishes == {ALL[name].finish for name in words}


def test_which_events_count_is_part_of_the_meaning(every: Plan) -> None:
    view, service = every.views["user_spending"], every.services["buy"]
    for change in ({"earliest_ms": 0}, {"envelope": Envelope.DEBEZIUM}):
        assert replace(view, source=replace(view.source, **change)).fingerprint != view.fingerprint
        assert replace(service, request=replace(service.request, **change)).fingerprint != service.fingerprint
