"""A change of definitions is told for what it is: breaking where tiles would mean something else, and with the history that it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.plan import Plan
from features.versions.plan_diff import ALL_HISTORY_MS, Changes, Kind, ViewChange, changes, service_record, tile_differences, view_record
from tests.features.test_plan import compiled

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
VIEW = """
v = FeatureView(entity=user, source=events, tile=minute, features={
    "events_1h": Count().over(hour),
    "spent_1h": Sum("amount").over(hour),
})
s = FeatureService(request=requests, views=[v])
"""


def applied(plan: Plan) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the control topic gives back of a plan that was applied."""
    views = {name: view_record(view) for name, view in plan.views.items()}
    services = {name: service_record(service) for name, service in plan.services.items()}
    return json.loads(json.dumps(views)), json.loads(json.dumps(services))


def found(tmp_path: Path, text: str, *, slack_ms: int = HOUR_MS, before: str = VIEW) -> Changes:
    old = compiled(tmp_path / "old", v=before)
    return changes(*applied(old), compiled(tmp_path / "new", v=text), slack_ms=slack_ms)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()


def only(found: Changes) -> ViewChange:
    (change,) = found.views
    return change


def test_what_is_as_it_was_applied_is_no_change(tmp_path: Path) -> None:
    assert found(tmp_path, VIEW) == Changes(views=(), services=())
    assert not found(tmp_path, VIEW).any


def test_a_longer_window_over_parts_that_are_kept_breaks_nothing_and_lacks_what_was_not_kept(tmp_path: Path) -> None:
    longer = VIEW.replace('Sum("amount").over(hour)', 'Sum("amount").over(5 * hour)')
    change = only(found(tmp_path, longer))
    assert (change.kind, change.breaking) == (Kind.CHANGED, False)
    assert change.differences == ("~ feature spent_1h, window: 1h → 5h",)
    assert change.lacks_ms == (5 * HOUR_MS, 2 * HOUR_MS)
    assert change.services == ("s",)


def test_a_window_within_what_the_store_keeps_lacks_nothing(tmp_path: Path) -> None:
    added = VIEW.replace("})", '    "events_2h": Count().over(2 * hour),\n})', 1)
    change = only(found(tmp_path, added))
    assert (change.breaking, change.differences, change.lacks_ms) == (False, ("+ feature events_2h",), None)
    (service,) = found(tmp_path, added).services
    assert service.kind is Kind.CHANGED
    assert service.before != service.after
    assert service.differences[-1] == "+ feature events_2h"


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("tile=minute", "tile=5 * minute", "tile: 1m → 5m"),
        ("entity=user", 'where="amount > 1", entity=user', "where: none → amount > 1.0"),
        ('Sum("amount")', 'Sum("amount * 2")', "+ tile column sum_"),
        ('Sum("amount")', 'Max("amount")', "+ tile column max_amount"),
        ("Count()", 'Count(where="amount > 1")', "+ tile column count_"),
    ],
)
def test_what_changes_the_content_of_a_tile_is_breaking(tmp_path: Path, old: str, new: str, difference: str) -> None:
    change = only(found(tmp_path, VIEW.replace(old, new)))
    assert (change.breaking, change.lacks_ms) == (True, (HOUR_MS, 0))
    assert any(difference in line for line in change.differences), change.differences


def test_a_delay_changes_when_tiles_are_read_but_not_the_tiles(tmp_path: Path) -> None:
    change = only(found(tmp_path, VIEW.replace("tile=minute", "tile=minute, delay=3 * minute")))
    assert (change.breaking, change.lacks_ms) == (False, None)
    assert change.differences[0].startswith("delay: ")
    assert change.differences[0].endswith(" → 3m")


def test_a_sources_lateness_and_horizon_are_told(tmp_path: Path) -> None:
    plan = compiled(tmp_path / "old", v=VIEW)
    source = replace(plan.views["v"].source, lateness_ms=90_000, dedupe_ms=2 * HOUR_MS)
    other = replace(plan, views={"v": replace(plan.views["v"], source=source)})
    change = only(changes(*applied(plan), other, slack_ms=0))
    assert (change.breaking, change.stream) == (False, True)
    assert any(line.startswith("lateness: ") and line.endswith(" → 1m30s") for line in change.differences)
    assert any(line.startswith("dedupe: ") and line.endswith(" → 2h") for line in change.differences)


def test_whether_repeats_count_changes_the_tiles_and_for_how_long_they_are_known_does_not(tmp_path: Path) -> None:
    view = compiled(tmp_path / "old", v=VIEW).views["v"]
    assert (view.source.id, view.source.dedupe_ms) == ("id", HOUR_MS)
    longer, counting = (replace(view, source=replace(view.source, dedupe_ms=dedupe)) for dedupe in (2 * HOUR_MS, None))
    assert longer.fingerprint == view.fingerprint != counting.fingerprint
    assert tile_differences(view_record(view), longer) == ()
    assert tile_differences(view_record(view), counting) == ("id: id → none",)
    unnamed = replace(counting, source=replace(counting.source, id=None))
    assert unnamed.fingerprint == counting.fingerprint


def test_views_and_services_come_and_go(tmp_path: Path) -> None:
    other = VIEW.replace("v = ", "w = ").replace("[v]", "[w]").replace("s = ", "t = ").replace("_1h", "_60m")
    changed = found(tmp_path, other)
    assert [(each.name, each.kind, each.services) for each in changed.views] == [("v", Kind.REMOVED, ("s",)), ("w", Kind.ADDED, ("t",))]
    assert [each.lacks_ms for each in changed.views] == [None, (HOUR_MS, 0)]
    assert [(each.name, each.kind) for each in changed.services] == [("s", Kind.REMOVED), ("t", Kind.ADDED)]


def test_why_tiles_mean_something_else_is_told_before_they_are_mixed(tmp_path: Path) -> None:
    old, new = compiled(tmp_path / "old", v=VIEW), compiled(tmp_path / "new", v=VIEW.replace("tile=minute", "tile=5 * minute"))
    record = applied(old)[0]["v"]
    assert tile_differences(record, old.views["v"]) == ()
    assert tile_differences(record, new.views["v"]) == ("tile: 1m → 5m",)


def test_a_first_feature_without_a_window_is_breaking_and_lacks_everything_there_ever_was(tmp_path: Path) -> None:
    ever = VIEW.replace("Count().over(hour)", "Lifetime(Count())")
    change = only(found(tmp_path, ever))
    assert (change.breaking, change.lacks_ms) == (True, (ALL_HISTORY_MS, 0))
    assert change.differences == ("+ bases of Lifetime features, in the store", "~ feature events_1h, window: 1h → all time")
    (tmp_path / "again").mkdir()
    again = compiled(tmp_path / "again", v=ever)
    assert not changes(*applied(again), again, slack_ms=0).any


@pytest.mark.parametrize(
    ("old", "new", "lacks_ms"),
    [
        ("tile=minute", "tile=minute, delay=3 * minute", None),
        ('Sum("amount").over(hour)', 'Sum("amount").over(2 * hour)', None),
        ('Sum("amount").over(hour)', 'Sum("amount").over(5 * hour)', (5 * HOUR_MS, 2 * HOUR_MS)),
        ("})", '    "spent_ever": Lifetime(Sum("amount")),\n})', None),  # the base has all of it
    ],
)
def test_beside_features_without_a_window_a_kept_view_lacks_what_its_windows_do(
    tmp_path: Path, old: str, new: str, lacks_ms: tuple[int, int] | None
) -> None:
    ever = VIEW.replace("Count().over(hour)", "Lifetime(Count())")
    change = only(found(tmp_path, ever.replace(old, new, 1), before=ever))
    assert (change.breaking, change.lacks_ms) == (False, lacks_ms)


LONG = VIEW.replace('Sum("amount").over(hour)', 'Sum("amount").over(30 * 24 * hour)')
HOPS = VIEW.replace('Sum("amount").over(hour)', 'Sum("amount").over(30 * 24 * hour, hop=24 * hour)')


def test_a_hop_keeps_the_tiles_of_the_topic_and_has_the_store_merge_them_anew(tmp_path: Path) -> None:
    change = only(found(tmp_path, HOPS, before=LONG))
    assert (change.kind, change.breaking, change.other_levels) == (Kind.CHANGED, False, True)
    assert change.differences == ("~ feature spent_1h, hop: none → 1d", "levels of tiles, in the store: 1m → 1m, 1h, 1d")
    assert change.lacks_ms == (31 * DAY_MS, 0)
    (tmp_path / "again").mkdir()
    again = compiled(tmp_path / "again", v=HOPS)
    assert not changes(*applied(again), again, slack_ms=0).any


@pytest.mark.parametrize(
    ("old", "new", "differences", "other_levels"),
    [
        ("hop=24 * hour", "hop=hour", ("~ feature spent_1h, hop: 1d → 1h", "levels of tiles, in the store: 1m, 1h, 1d → 1m, 1h"), True),
        (", hop=24 * hour", "", ("~ feature spent_1h, hop: 1d → none", "levels of tiles, in the store: 1m, 1h, 1d → 1m"), True),
        ("Count().over(hour)", "Count().over(2 * hour, hop=hour)", ("~ feature events_1h, hop: none → 1h; window: 1h → 2h",), False),
        ("Count().over(hour)", "Count().over(2 * hour, hop=minute)", ("~ feature events_1h, window: 1h → 2h",), False),
    ],
)
def test_another_hop_is_told_and_whether_it_makes_other_levels(
    tmp_path: Path, old: str, new: str, differences: tuple[str, ...], other_levels: bool
) -> None:
    change = only(found(tmp_path, HOPS.replace(old, new), before=HOPS))
    assert (change.breaking, change.differences, change.other_levels) == (False, differences, other_levels)
    assert (change.lacks_ms is not None) == other_levels


@pytest.mark.parametrize(
    ("feature", "lacks_ms"),
    [
        ("Count().over(20 * 24 * hour, hop=24 * hour)", None),  # of days the store has a month
        ("Count().over(90 * 24 * hour, hop=24 * hour)", (91 * DAY_MS, 31 * DAY_MS + HOUR_MS)),
        ("Count().over(7 * 24 * hour, hop=hour)", (7 * DAY_MS + HOUR_MS, DAY_MS + HOUR_MS)),  # of hours a day
        ("Count().over(10 * 24 * hour)", (10 * DAY_MS, 2 * HOUR_MS)),  # of minutes an hour
    ],
)
def test_a_window_lacks_what_was_not_kept_of_the_level_that_it_is_folded_from(
    tmp_path: Path, feature: str, lacks_ms: tuple[int, int] | None
) -> None:
    change = only(found(tmp_path, HOPS.replace("})", f'    "added": {feature},\n}})', 1), before=HOPS))
    assert (change.breaking, change.other_levels, change.lacks_ms) == (False, False, lacks_ms)


def test_a_first_feature_without_a_window_takes_the_levels_with_it_and_is_breaking(tmp_path: Path) -> None:
    change = only(found(tmp_path, HOPS.replace("Count().over(hour)", "Lifetime(Count())"), before=HOPS))
    assert (change.breaking, change.other_levels, change.lacks_ms) == (True, False, (ALL_HISTORY_MS, 0))
