# {file}:8: spending is also declared in line 7, which would be lost

from features import Count, FeatureView

from .sources import events, hour, minute, user

spending = FeatureView(entity=user, source=events, tile=minute, features={"events_1h": Count().over(hour)})
spending = FeatureView(entity=user, source=events, tile=minute, features={"many_1h": Count().over(hour)})
