"""What a card, a merchant and a customer have been doing."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Max, Mean, Min, Source, StdDev, Sum

minute, hour = timedelta(minutes=1), timedelta(hours=1)

payments = Source(topic="payments", schema="payment", lateness=timedelta(minutes=1), id="payment_id")
payment_requests = Source(topic="payment_requests", schema="payment_request", id="request_id")

card = Entity(keys=["card"])
merchant = Entity(keys=["merchant"])
customer = Entity(keys=["customer"])

card_activity = FeatureView(
    entity=card,
    source=payments,
    tile=5 * minute,
    features={
        "card_payments_1h": Count().over(hour),
        "card_payments_3h": Count().over(3 * hour),
        "card_amount_sum_1h": Sum("amount").over(hour),
        "card_amount_sum_3h": Sum("amount").over(3 * hour),
        "card_amount_mean_3h": Mean("amount").over(3 * hour),
        "card_amount_max_3h": Max("amount").over(3 * hour),
    },
)

merchant_activity = FeatureView(
    entity=merchant,
    source=payments,
    tile=5 * minute,
    features={
        "merchant_payments_1h": Count().over(hour),
        "merchant_payments_3h": Count().over(3 * hour),
        "merchant_large_1h": Count(where="amount > 200").over(hour),
        "merchant_amount_mean_1h": Mean("amount").over(hour),
        "merchant_amount_mean_3h": Mean("amount").over(3 * hour),
        "merchant_amount_std_3h": StdDev("amount").over(3 * hour),
    },
)

customer_activity = FeatureView(
    entity=customer,
    source=payments,
    tile=5 * minute,
    features={
        "customer_payments_1h": Count().over(hour),
        "customer_payments_3h": Count().over(3 * hour),
        "customer_amount_sum_3h": Sum("amount").over(3 * hour),
        "customer_amount_mean_3h": Mean("amount").over(3 * hour),
        "customer_amount_min_3h": Min("amount").over(3 * hour),
        "customer_amount_max_3h": Max("amount").over(3 * hour),
    },
)

three_views = FeatureService(request=payment_requests, views=[card_activity, merchant_activity, customer_activity])
one_view = FeatureService(request=payment_requests, views=[card_activity])
