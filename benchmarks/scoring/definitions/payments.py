"""What a card, a merchant, and a card at a merchant have been doing: three views of eight features."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Max, Mean, Min, Source, StdDev, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments = Source(topic="payments", schema="payment", lateness=timedelta(seconds=5), id="payment_id")
payment_requests = Source(topic="payment_requests", schema="payment_request", id="request_id")

card = Entity(keys=["card"])
merchant = Entity(keys=["merchant"])
card_at_merchant = Entity(keys=["card", "merchant"])

card_activity = FeatureView(
    entity=card,
    source=payments,
    tile=5 * minute,
    features={
        "card_payments_1h": Count().over(hour),
        "card_payments_3h": Count().over(3 * hour),
        "card_amount_sum_1h": Sum("amount").over(hour),
        "card_amount_sum_3h": Sum("amount").over(3 * hour),
        "card_amount_max_1h": Max("amount").over(hour),
        "card_amount_max_3h": Max("amount").over(3 * hour),
        "card_amount_mean_3h": Mean("amount").over(3 * hour),
        "card_large_3h": Count(where="amount > 100").over(3 * hour),
    },
)

merchant_activity = FeatureView(
    entity=merchant,
    source=payments,
    tile=5 * minute,
    features={
        "merchant_payments_1h": Count().over(hour),
        "merchant_payments_3h": Count().over(3 * hour),
        "merchant_amount_mean_1h": Mean("amount").over(hour),
        "merchant_amount_mean_3h": Mean("amount").over(3 * hour),
        "merchant_amount_std_3h": StdDev("amount").over(3 * hour),
        "merchant_amount_min_3h": Min("amount").over(3 * hour),
        "merchant_amount_max_3h": Max("amount").over(3 * hour),
        "merchant_large_1h": Count(where="amount > 100").over(hour),
    },
)

card_at_merchant_activity = FeatureView(
    entity=card_at_merchant,
    source=payments,
    tile=5 * minute,
    features={
        "pair_payments_1h": Count().over(hour),
        "pair_payments_3h": Count().over(3 * hour),
        "pair_amount_sum_1h": Sum("amount").over(hour),
        "pair_amount_sum_3h": Sum("amount").over(3 * hour),
        "pair_amount_max_3h": Max("amount").over(3 * hour),
        "pair_amount_min_3h": Min("amount").over(3 * hour),
        "pair_amount_mean_3h": Mean("amount").over(3 * hour),
        "pair_large_3h": Count(where="amount > 100").over(3 * hour),
    },
)

payment_scores = FeatureService(request=payment_requests, views=[card_activity, merchant_activity, card_at_merchant_activity])
