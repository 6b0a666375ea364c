# s.label: "colour" is string; a label is boolean or a number ({file})
from __future__ import annotations

from features import Count, FeatureService, FeatureView, Label

from .sources import events, hour, minute, requests, user

v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour)})
s = FeatureService(request=requests, views=[v], label=Label(source=events, on="id", value="colour"))
