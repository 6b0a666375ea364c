"""Every aggregation, over every type, with conditions and ties: for golden files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features import (
    CategoryCounts,
    Count,
    CountDistinct,
    FeatureService,
    FeatureView,
    First,
    Label,
    Last,
    LastN,
    Max,
    Mean,
    Min,
    Quantile,
    Share,
    StdDev,
    Sum,
    TopK,
    Variance,
)

from .sources import events, hour, minute, requests, user, user_shop

Doubles = NDArray[np.float64]

every_aggregation = FeatureView(
    entity=user_shop,
    source=events,
    tile=minute,
    delay=45 * minute / 60,
    where="paid OR amount > 100",
    features={
        "events_10m": Count().over(10 * minute),
        "discounts_10m": Count("discount").over(10 * minute),
        "many_10m": Count(where="items >= 10").over(10 * minute),
        "items_10m": Sum("items").over(10 * minute),
        "amount_1h": Sum("amount").over(hour),
        "amount_mean_1h": Mean("amount").over(hour),
        "amount_mean_red_1h": Mean("amount", where="colour = 'red'").over(hour),
        "item_price_mean_1h": Mean("amount / items").over(hour),
        "amount_min_1h": Min("amount").over(hour),
        "colour_min_1h": Min("colour").over(hour),
        "shipped_max_1h": Max("shipped").over(hour),
        "items_max_1h": Max("items").over(hour),
        "amount_var_1h": Variance("amount").over(hour),
        "amount_std_2h": StdDev("amount").over(2 * hour),
        "items_var_1h": Variance("items", where="paid").over(hour),
        "amount_first_1h": First("amount").over(hour),
        "colour_last_1h": Last("colour", tie="id", where="amount > 0").over(hour),
        "paid_last_1h": Last("paid", tie="items").over(hour),
        "shipped_hour_last_1h": Last("HOUR(shipped)").over(hour),
        "paid_share_1h": Share(where="paid").over(hour),
        "discount_paid_share_1h": Share("discount", where="paid").over(hour),
        "colour_top_1h": TopK("colour", k=2, where="amount > 0").over(hour),
        "colours_1h": CategoryCounts("colour", ["red", "blue"], where="amount > 0").over(hour),
        "colours_10m": CategoryCounts("colour", {"none": "", "comma": "a, b"}).over(10 * minute),
        "amounts_1h": LastN("amount", n=2, where="paid").over(hour),
        "colour_latest_1h": LastN("colour", n=1).over(hour),
        "ids_1h": CountDistinct("id").over(hour),
        "items_distinct_1h": CountDistinct("items", where="paid").over(hour),
        "amount_p95_1h": Quantile("amount", q=0.95).over(hour),
        "items_median_1h": Quantile("items", accuracy=0.05).over(hour),
    },
)

user_spending = FeatureView(
    entity=user,
    source=events,
    tile=5 * minute,
    features={"spent_1h": Sum("COALESCE(amount - discount, amount)").over(hour)},
)


def paid_ratio(events_10m: Doubles, discounts_10m: Doubles) -> Doubles:
    """How many of the events had a discount."""
    return np.where(events_10m > 0, discounts_10m / events_10m, 0.0)


buy = FeatureService(
    request=requests,
    views=[every_aggregation, user_spending],
    request_features={"price": "price", "cheap": "price < 5", "red": "colour = 'red'"},
    label=Label(source=events, on="id", value="paid"),
    derived={"paid_ratio": paid_ratio},
)
