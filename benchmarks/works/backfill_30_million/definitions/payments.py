"""What a card and a merchant have been doing."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Max, Mean, Source, StdDev, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments = Source(topic="payments", schema="payment", lateness=timedelta(minutes=1), id="payment_id", dedupe=hour)
payment_requests = Source(topic="payment_requests", schema="payment_request", id="request_id")

card = Entity(keys=["card"])
merchant = Entity(keys=["merchant"])

card_activity = FeatureView(
    entity=card,
    source=payments,
    tile=hour,
    features={
        "card_payments_6h": Count().over(6 * hour),
        "card_payments_24h": Count().over(24 * hour),
        "card_amount_sum_24h": Sum("amount").over(24 * hour),
        "card_amount_max_24h": Max("amount").over(24 * hour),
    },
)

merchant_activity = FeatureView(
    entity=merchant,
    source=payments,
    tile=5 * minute,
    features={
        "merchant_payments_1h": Count().over(hour),
        "merchant_large_1h": Count(where="amount > 500").over(hour),
        "merchant_amount_mean_24h": Mean("amount").over(24 * hour),
        "merchant_amount_std_24h": StdDev("amount").over(24 * hour),
    },
)

payment_features = FeatureService(request=payment_requests, views=[card_activity, merchant_activity])
