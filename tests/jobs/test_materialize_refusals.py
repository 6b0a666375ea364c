"""What materialize could only fail at on a worker is refused before it is submitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.window import Lifetime
from infra.settings import Settings
from jobs.materialize import pipeline
from schemas.errors import SettingError
from tests import shop

PLAN = shop.plan()
USER = PLAN.views["user_clicks"]
EVER = replace(USER, name="ever", features=tuple(replace(feature, window=Lifetime()) for feature in USER.features))


def test_a_time_to_live_beside_lifetime_features() -> None:
    settings = replace(Settings.load(), online_ttl_ms=60_000)
    pipeline(settings, PLAN)
    with pytest.raises(SettingError, match="TIDEMARK_ONLINE_TTL: view 'ever' has Lifetime features"):
        pipeline(settings, replace(PLAN, views={**PLAN.views, "ever": EVER}))
