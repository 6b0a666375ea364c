"""What a card has been doing, minute by minute."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureView, Max, Source, Sum

hour = timedelta(hours=1)

payments = Source(topic="payments", schema="payment", lateness=timedelta(seconds=5))

card = Entity(keys=["card"])

card_minutes = FeatureView(
    entity=card,
    source=payments,
    tile=timedelta(minutes=1),
    features={
        "payments_1h": Count().over(hour),
        "amount_sum_1h": Sum("amount").over(hour),
        "amount_max_1h": Max("amount").over(hour),
    },
)
