# v.f: Share lacks where=, the condition whose share is asked for ({file})
from __future__ import annotations

from features import FeatureView, Share

from .sources import events, hour, minute, user

v = FeatureView(entity=user, source=events, tile=minute, features={"f": Share("amount").over(hour)})
