"""A small shop: two views, two entities, one service."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Last, Max, Source, Sum

minute = timedelta(minutes=1)

clicks = Source(topic="clicks", schema="click", lateness=timedelta(seconds=5))
offers = Source(topic="offers", schema="offer", lateness=timedelta(seconds=5), id="request_id")

user = Entity(keys=["user"])
shelf = Entity(keys=["shop", "shelf"])

user_clicks = FeatureView(
    entity=user,
    source=clicks,
    tile=minute,
    delay=timedelta(seconds=7),
    features={
        "clicks_5m": Count().over(5 * minute),
        "spent_5m": Sum("amount").over(5 * minute),
        "last_amount_10m": Last("amount").over(10 * minute),
    },
)

shelf_clicks = FeatureView(
    entity=shelf,
    source=clicks,
    tile=minute,
    delay=timedelta(seconds=7),
    features={
        "shelf_clicks_5m": Count().over(5 * minute),
        "shelf_most_5m": Max("amount").over(5 * minute),
    },
)

buy = FeatureService(request=offers, views=[user_clicks, shelf_clicks], request_features=["price", "colour"])
