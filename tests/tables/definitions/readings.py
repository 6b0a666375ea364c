"""What the files of tests/tables hold, as events and as requests."""

from datetime import timedelta

from features import Count, Entity, FeatureService, FeatureView, Source, Sum

hour = timedelta(hours=1)
readings = Source(topic="readings", schema="reading", lateness=timedelta(seconds=10), id="id", dedupe=hour)
asks = Source(topic="asks", schema="reading", id="id")
card = Entity(keys=["card"])
card_readings = FeatureView(
    entity=card,
    source=readings,
    tile=timedelta(minutes=1),
    features={"count_1h": Count().over(hour), "amount_1h": Sum("amount").over(hour), "items_1h": Sum("items").over(hour)},
)
asked = FeatureService(request=asks, views=[card_readings], request_features=["amount"])
