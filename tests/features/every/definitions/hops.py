"""Windows with hops, beside exact ones: for golden files."""

from __future__ import annotations

from datetime import timedelta

from features import Count, CountDistinct, FeatureView, Last, Mean, TopK

from .sources import events, hour, minute, user

day = timedelta(days=1)

user_habits = FeatureView(
    entity=user,
    source=events,
    tile=minute,
    features={
        "events_10m": Count().over(10 * minute),
        "events_1d": Count().over(day, hop=hour),
        "events_30d": Count().over(30 * day, hop=day),
        "events_90d": Count().over(90 * day, hop=day),
        "amount_mean_1h": Mean("amount").over(hour, hop=minute),  # a hop of one tile is none
        "amount_mean_30d": Mean("amount", where="paid").over(30 * day, hop=day),
        "colour_last_7d": Last("colour", tie="id").over(7 * day, hop=hour),
        "colour_top_30d": TopK("colour", k=1).over(30 * day, hop=day),
        "shops_90d": CountDistinct("shop").over(90 * day, hop=day),
    },
)
