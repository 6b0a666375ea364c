"""What a card has done in the last minute, second by second."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Max, Source, Sum

second, minute = timedelta(seconds=1), timedelta(minutes=1)

payments = Source(topic="payments", schema="payment", lateness=second, id="payment_id")
payment_requests = Source(topic="payment_requests", schema="payment_request", id="request_id")

card = Entity(keys=["card"])

card_seconds = FeatureView(
    entity=card,
    source=payments,
    tile=second,
    delay=second,  # the lateness alone: nothing is allowed for the time that the jobs take
    features={
        "payments_1m": Count().over(minute),
        "amount_sum_1m": Sum("amount").over(minute),
        "amount_max_1m": Max("amount").over(minute),
    },
)

card_risk = FeatureService(request=payment_requests, views=[card_seconds])
