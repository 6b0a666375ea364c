"""What a card has been doing, minute by minute."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureView, Max, Source, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments_1k = Source(topic="payments_1k", schema="payment", lateness=timedelta(seconds=5))
payments_100k = Source(topic="payments_100k", schema="payment", lateness=timedelta(seconds=5))
payments_1m = Source(topic="payments_1m", schema="payment", lateness=timedelta(seconds=5))

card = Entity(keys=["card"])


def _minutes(source: Source, suffix: str) -> FeatureView:
    features = {f"payments_{suffix}": Count(), f"amount_sum_{suffix}": Sum("amount"), f"amount_max_{suffix}": Max("amount")}
    return FeatureView(entity=card, source=source, tile=minute, features={name: each.over(hour) for name, each in features.items()})


minutes_1k = _minutes(payments_1k, "1k")
minutes_100k = _minutes(payments_100k, "100k")
minutes_1m = _minutes(payments_1m, "1m")
