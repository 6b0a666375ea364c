"""Features without a window, beside ones with: for golden files."""

from __future__ import annotations

from features import Count, CountDistinct, FeatureView, Lifetime, Max, Mean, TopK, Variance

from .sources import events, hour, minute, user

user_ever = FeatureView(
    entity=user,
    source=events,
    tile=5 * minute,
    features={
        "events_ever": Lifetime(Count()),
        "events_1h": Count().over(hour),
        "amount_mean_ever": Lifetime(Mean("amount", where="paid")),
        "amount_max_ever": Lifetime(Max("amount")),
        "amount_max_1h": Max("amount").over(hour),
        "amount_var_ever": Lifetime(Variance("amount")),
        "colour_top_ever": Lifetime(TopK("colour", k=2)),
        "shops_ever": Lifetime(CountDistinct("shop")),
    },
)
