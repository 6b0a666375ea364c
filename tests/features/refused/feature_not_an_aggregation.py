# v.f: must be an aggregation, got 'amount' ({file})
from __future__ import annotations

from features import FeatureView

from .sources import events, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": "amount"})
