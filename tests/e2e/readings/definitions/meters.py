"""Every kind of aggregation, tiles of two sizes, on both sources."""

from __future__ import annotations

from datetime import timedelta

from features import (
    CategoryCounts,
    Count,
    CountDistinct,
    FeatureService,
    FeatureView,
    First,
    Last,
    LastN,
    Lifetime,
    Max,
    Mean,
    Min,
    Quantile,
    Share,
    StdDev,
    Sum,
    TopK,
    Variance,
)
from features.vocabulary.aggregation import Windowed

from .sources import every, meter, once, place, questions

second, minute = timedelta(seconds=1), timedelta(minutes=1)

LEVELS: dict[str, Windowed | Lifetime] = {
    "readings": Count().over(minute),
    "with_steps": Count("steps").over(minute),
    "valid": Count(where="valid").over(4 * minute),
    "level_sum": Sum("level").over(4 * minute),
    "steps_sum": Sum("steps").over(minute),
    "level_mean": Mean("level", where="valid").over(4 * minute),
    "steps_min": Min("steps").over(minute),
    "name_max": Max("offset").over(4 * minute),
    "level_variance": Variance("level").over(4 * minute),
    "steps_deviation": StdDev("steps", where="valid").over(4 * minute),
    "level_first": First("level").over(minute),
    "name_last": Last("offset", tie="steps").over(4 * minute),
    "valid_share": Share(where="valid").over(4 * minute),
    "name_top": TopK("offset", where="valid").over(4 * minute),
    "names": CategoryCounts("offset", {"none": "", "a": "a"}).over(4 * minute),
    "room_top": TopK("room", k=1).over(minute),
    "readings_distinct": CountDistinct("reading_id").over(4 * minute),
    "valid_distinct": CountDistinct("valid").over(minute),
    "level_last": LastN("level", n=2).over(4 * minute),
    "name_latest": LastN("offset", where="valid").over(4 * minute),
    "level_p95": Quantile("level", q=0.95).over(4 * minute),
    "readings_ever": Lifetime(Count()),
    "level_max_ever": Lifetime(Max("level", where="valid")),
    "steps_median": Quantile("steps", accuracy=0.001, where="valid").over(minute),
}

PLACES: dict[str, Windowed | Lifetime] = {
    "place_readings": Count().over(minute),
    "place_level_max": Max("level").over(minute),
    "place_warmth_max": Max("warmth").over(minute),
    "place_draught_sum": Sum("draught").over(minute),
    "place_readings_hops": Count().over(4 * minute, hop=2 * minute),
    "place_level_max_hops": Max("level").over(2 * minute, hop=minute),
    "place_level_mean_hops": Mean("level").over(4 * minute, hop=2 * minute),
    "place_name_last_hops": Last("offset", tie="steps").over(4 * minute, hop=2 * minute),
    "place_name_top_hops": TopK("offset", k=1).over(4 * minute, hop=2 * minute),
    "place_names_distinct_hops": CountDistinct("offset").over(4 * minute, hop=minute),
}

once_levels = FeatureView(entity=meter, source=once, tile=minute, features=LEVELS)
every_levels = FeatureView(entity=meter, source=every, tile=minute, features=LEVELS)

once_places = FeatureView(
    entity=place,
    source=once,
    tile=15 * second,
    where="valid",
    features=PLACES,
)
every_places = FeatureView(
    entity=place,
    source=every,
    tile=15 * second,
    where="valid",
    features=PLACES,
)

asked_once = FeatureService(request=questions, views=[once_levels, once_places])
asked_every = FeatureService(request=questions, views=[every_levels, every_places])
