"""What a card has been doing, minute by minute."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureView, Max, Source, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments_1d = Source(topic="payments_1d", schema="payment", lateness=timedelta(seconds=5))
payments_30d = Source(topic="payments_30d", schema="payment", lateness=timedelta(seconds=5))
payments_10y = Source(topic="payments_10y", schema="payment", lateness=timedelta(seconds=5))

card = Entity(keys=["card"])


def _minutes(source: Source, suffix: str) -> FeatureView:
    features = {f"payments_{suffix}": Count(), f"amount_sum_{suffix}": Sum("amount"), f"amount_max_{suffix}": Max("amount")}
    return FeatureView(entity=card, source=source, tile=minute, features={name: each.over(hour) for name, each in features.items()})


minutes_1d = _minutes(payments_1d, "1d")
minutes_30d = _minutes(payments_30d, "30d")
minutes_10y = _minutes(payments_10y, "10y")
