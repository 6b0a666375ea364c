# {file}:15: "spent_1h" is twice in one dictionary; the first would be lost

from features import Count, FeatureView, Sum

from .sources import events, hour, minute, user

spending = FeatureView(
    entity=user,
    source=events,
    tile=minute,
    features={
        "spent_1h": Sum("amount").over(hour),
        "events_1h": Count().over(hour),
        # A copy whose name was to be changed.
        "spent_1h": Sum("amount", where="paid").over(hour),
    },
)
