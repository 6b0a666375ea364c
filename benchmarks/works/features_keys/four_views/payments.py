"""What a card has been doing, minute by minute, and the same of payments above 10, 50 and 200: each view has a tile of every card's every minute."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureView, Max, Source, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments_100k = Source(topic="payments_100k", schema="payment", lateness=timedelta(seconds=5))

card = Entity(keys=["card"])


def _minutes(above: int | None = None) -> FeatureView:
    where, suffix = (None, "100k") if above is None else (f"amount > {above}", f"above_{above}")
    features = {
        f"payments_{suffix}": Count(where=where),
        f"amount_sum_{suffix}": Sum("amount", where=where),
        f"amount_max_{suffix}": Max("amount", where=where),
    }
    return FeatureView(entity=card, source=payments_100k, tile=minute, features={name: each.over(hour) for name, each in features.items()})


minutes_100k = _minutes()
minutes_above_10 = _minutes(10)
minutes_above_50 = _minutes(50)
minutes_above_200 = _minutes(200)
