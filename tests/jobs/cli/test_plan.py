"""What `tidemark plan` says of a change: what it touches, which models it concerns, and the history that it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.plan import Plan, ViewPlan
from features.versions.plan_diff import changes, service_record, view_record
from features.window import Sliding
from jobs.cli.plan import Planned, as_data, text
from jobs.control.deployed import Deployed
from jobs.control.missing_history import HistorySize
from tests import shop
from tests.shop import MINUTE, NOON

PLAN = shop.plan()
USER, SHELF = PLAN.views["user_clicks"], PLAN.views["shelf_clicks"]
APPLIED = Deployed(
    views={name: json.loads(json.dumps(view_record(view))) for name, view in PLAN.views.items()},
    services={"buy": json.loads(json.dumps(service_record(PLAN.services["buy"]))) | {"model": "buy", "model_version": "m1"}},
    computed={"clicks": ["shelf_clicks", "user_clicks"]},
    stored={"1": ["shelf_clicks", "user_clicks"]},
)
SIZE = HistorySize(
    from_ms=NOON, until_ms=NOON + 10 * MINUTE, events=1_200, sampled=1_000, tiles=30, bytes=2_400, unmeasured=("tally_user",)
)


def planned(**views: ViewPlan) -> Planned:
    """What the shop becomes with these views, its service over them."""
    service = replace(PLAN.services["buy"], views=tuple(views[view.name] for view in (USER, SHELF) if view.name in views))
    plan = Plan(sources=PLAN.sources, views=views, services={"buy": service})
    found = changes(APPLIED.views, APPLIED.services, plan, slack_ms=0)
    return Planned(found=found, applied=APPLIED, sizes=dict.fromkeys(views, SIZE))


def test_no_change_is_one_line() -> None:
    same = planned(user_clicks=USER, shelf_clicks=SHELF)
    assert text(same) == ["no change: the definitions are those that the jobs were submitted with"]
    assert as_data(same) == {"changes": False, "views": [], "services": []}


def test_a_breaking_change_says_what_it_touches_and_what_it_lacks() -> None:
    lines = text(planned(user_clicks=replace(USER, tile_ms=5 * MINUTE), shelf_clicks=SHELF))
    assert lines[:2] == ["~ view user_clicks: changed, breaking", "    tile: 1m → 5m"]
    assert lines[2] == "  state    features job of source clicks: other operators, submit it with --fresh"
    assert lines[3].startswith("  topic    tidemark.tiles.user_clicks: holds tiles of the old definition; submit refuses the new one: ")
    assert lines[4].startswith(
        "  store    user_clicks__tiles, user_clicks__older, user_clicks__frontier, user_clicks__since: tiles of the old definition count for nothing"
    )
    assert lines[5] == "  services buy"
    assert lines[6] == f"  models   buy m1 of service buy {PLAN.services['buy'].fingerprint}"
    assert lines[7] == (
        "  history  lacks 10m: 2013-10-01T12:00:00.000Z to 2013-10-01T12:10:00.000Z, 10m, 1,200 events, "
        "30 tiles of 2,400 bytes and tally_user, by the newest 1,000 events; `tidemark bootstrap user_clicks`"
    )
    assert lines[8].startswith(f"~ service buy: version {PLAN.services['buy'].fingerprint} → ")
    assert lines[9].startswith("    ~ view user_clicks: ")
    assert lines[-1] == "views: 0 added, 1 changed, 0 removed (1 breaking); services: 1"


def test_a_change_that_keeps_the_tiles_says_so() -> None:
    lines = text(planned(user_clicks=replace(USER, delay_ms=60_000), shelf_clicks=SHELF))
    assert lines[:5] == [
        "~ view user_clicks: changed",
        "    delay: 7s → 1m",
        "  state    features job of source clicks: kept",
        "  topic    tidemark.tiles.user_clicks: kept",
        "  store    user_clicks__tiles, user_clicks__older, user_clicks__frontier, user_clicks__since: kept; submit materialize and score again",
    ]
    assert not any(line.startswith("  history") for line in lines)


def test_a_longer_window_over_kept_tiles_asks_for_another_generation_of_the_store() -> None:
    longer = replace(USER, features=tuple(replace(feature, window=Sliding(size_ms=60 * MINUTE)) for feature in USER.features))
    (line,) = [line for line in text(planned(user_clicks=longer, shelf_clicks=SHELF)) if line.startswith("  history")]
    assert line.startswith("  history  lacks what is between 1h and 10m old: ")
    assert line.endswith("; `tidemark rebuild --switch`")


def test_a_hop_that_makes_other_levels_asks_for_another_generation_of_the_store() -> None:
    hops = replace(
        USER, features=tuple(replace(feature, window=Sliding(size_ms=60 * MINUTE, hop_ms=10 * MINUTE)) for feature in USER.features)
    )
    lines = text(planned(user_clicks=hops, shelf_clicks=SHELF))
    assert lines[0] == "~ view user_clicks: changed"
    assert "    levels of tiles, in the store: 1m → 1m, 10m" in lines
    assert "  topic    tidemark.tiles.user_clicks: kept" in lines
    (store, history) = (line for line in lines if line.startswith(("  store", "  history")))
    assert store.endswith(
        ": tiles of other levels count for nothing; `tidemark rebuild --switch` merges them anew; submit materialize and score again"
    )
    assert history.startswith("  history  lacks 1h10m: ")
    assert history.endswith("; `tidemark rebuild --switch`")


def test_what_is_gone_stays_until_it_is_retired() -> None:
    lines = text(planned(user_clicks=USER))
    assert lines[0] == "− view shelf_clicks: removed"
    assert lines[2] == "  topic    tidemark.tiles.shelf_clicks: stays until `tidemark retire shelf_clicks`"


def test_a_view_begins_beside_the_job_of_its_source() -> None:
    lines = text(planned(user_clicks=USER, shelf_clicks=SHELF, user_clicks_v2=replace(USER, name="user_clicks_v2")))
    assert lines[0] == "+ view user_clicks_v2: added"
    assert lines[1] == "  state    features job of source clicks: goes on; submit features --only user_clicks_v2 beside it"


def test_json_has_all_of_it() -> None:
    data: Any = json.loads(json.dumps(as_data(planned(user_clicks=replace(USER, tile_ms=5 * MINUTE)))))
    assert data["changes"] is True
    assert [(view["name"], view["kind"], view["breaking"]) for view in data["views"]] == [
        ("shelf_clicks", "removed", True),
        ("user_clicks", "changed", True),
    ]
    assert data["views"][1]["history"]["events"] == 1_200
    assert data["views"][1]["differences"] == ["tile: 1m → 5m"]
    assert set(data["views"][1]["touches"]) == {"state", "topic", "store"}
    assert data["services"][0]["kind"] == "changed"


@pytest.mark.parametrize("command", ["plan", "rebuild", "switch", "shadow", "retire"])
def test_every_command_has_help_that_starts_no_service(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from jobs.cli.main import main

    assert main([command, "--help"]) == 0
    assert f"tidemark {command}" in capsys.readouterr().out
