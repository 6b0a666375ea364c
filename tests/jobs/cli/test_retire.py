"""A view is retired only when no job runs with it, whatever the job is called, and no other job is blamed."""

from __future__ import annotations

import pytest

from features.versions.plan_diff import service_record, view_record
from jobs.control.deployed import Deployed, runs_with
from jobs.features import left_out
from tests import shop

PLAN = shop.plan()
VIEW = "user_clicks"
APPLIED = Deployed(
    views={name: view_record(view) for name, view in PLAN.views.items()},
    services={"buy": service_record(PLAN.services["buy"]), "other": {"description": {"views": {}}}},
    computed={"clicks": ["shelf_clicks", VIEW], "offers": [], "clicks/shelf_clicks": ["shelf_clicks"]},
    stored={"1": [VIEW]},
)


@pytest.mark.parametrize(
    ("name", "with_view"),
    [
        ("features", True),
        ("features-clicks", True),
        ("features-offers-clicks", True),
        ("features-offers", False),
        ("features-shelf_clicks", False),
        ("features-user_clicks", True),
        ("features-mine", True),  # submitted with --name: of whatever
        ("materialize", True),
        ("materialize-g2", True),
        ("score-buy", True),
        ("score-other", False),
        ("score-mine", True),
        ("score", True),
        ("elsewhere", False),
    ],
)
def test_a_job_that_runs_with_the_view_is_told_by_its_name(name: str, with_view: bool) -> None:
    assert (runs_with(APPLIED, {name}, view=VIEW, source="clicks") == {name}) is with_view


def test_where_nothing_was_submitted_with_the_view_no_job_is_in_the_way() -> None:
    applied = Deployed(views=APPLIED.views, services={}, computed={"clicks": ["shelf_clicks"]}, stored={"1": []})
    names = {"features", "features-clicks", "materialize", "score-buy"}
    assert runs_with(applied, names, view=VIEW, source="clicks") == set()
    assert runs_with(applied, names | {"features-user_clicks"}, view=VIEW, source="clicks") == {"features-user_clicks"}


def test_a_source_without_a_view_is_no_longer_said_to_be_computed_unless_a_job_of_its_own_runs() -> None:
    offers = [PLAN.sources["offers"]]
    assert left_out(APPLIED, offers, {"features", "materialize"}) == ["clicks"]
    assert left_out(APPLIED, offers, {"features-clicks"}) == []
    assert left_out(APPLIED, [*offers, PLAN.sources["clicks"]], set()) == []
