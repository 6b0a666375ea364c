"""What a card has done in one window, from an hour to 90 days: exact to the tile of a minute, or with a hop."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Max, Source, Sum

minute, hour, day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

payments = Source(topic="payments", schema="payment", lateness=timedelta(seconds=5), id="payment_id")
payment_requests = Source(topic="payment_requests", schema="payment_request", id="request_id")

card = Entity(keys=["card"])


def activity(window: timedelta, hop: timedelta | None = None) -> FeatureView:
    """A count, a sum and a maximum."""
    return FeatureView(
        entity=card,
        source=payments,
        tile=minute,
        features={
            "payments": Count().over(window, hop=hop),
            "amount_sum": Sum("amount").over(window, hop=hop),
            "amount_max": Max("amount").over(window, hop=hop),
        },
    )


def asked(view: FeatureView) -> FeatureService:
    """That view alone."""
    return FeatureService(request=payment_requests, views=[view])


exact_1h, exact_3h = activity(hour), activity(3 * hour)
exact_1d, exact_7d, exact_30d, exact_90d = (activity(days * day) for days in (1, 7, 30, 90))
hops_1d = activity(day, hop=hour)
hops_7d, hops_30d, hops_90d = (activity(days * day, hop=day) for days in (7, 30, 90))
thousand_tiles = activity(1_000 * minute)

of_exact_1h, of_exact_3h, of_exact_1d = asked(exact_1h), asked(exact_3h), asked(exact_1d)
of_exact_7d, of_exact_30d, of_exact_90d = asked(exact_7d), asked(exact_30d), asked(exact_90d)
of_hops_1d, of_hops_7d, of_hops_30d, of_hops_90d = asked(hops_1d), asked(hops_7d), asked(hops_30d), asked(hops_90d)
of_thousand_tiles = asked(thousand_tiles)
