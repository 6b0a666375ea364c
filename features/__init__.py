"""What is computed: vocabulary, kernel, compiler and definitions.

Every aggregation of `features.vocabulary.aggregations` is here by its name; those that are named below are so for type checkers.
"""

from __future__ import annotations

from typing import Any

from features.vocabulary.aggregation import Lifetime
from features.vocabulary.aggregations import ALL
from features.vocabulary.aggregations.category_counts import CategoryCounts
from features.vocabulary.aggregations.count import Count
from features.vocabulary.aggregations.count_distinct import CountDistinct
from features.vocabulary.aggregations.edges import First, Last
from features.vocabulary.aggregations.extremes import Max, Min
from features.vocabulary.aggregations.last_n import LastN
from features.vocabulary.aggregations.quantile import Quantile
from features.vocabulary.aggregations.share import Share
from features.vocabulary.aggregations.spread import StdDev, Variance
from features.vocabulary.aggregations.sum import Mean, Sum
from features.vocabulary.aggregations.top_k import TopK
from features.vocabulary.words import Entity, FeatureService, FeatureView, Label, Source

__all__ = [
    "CategoryCounts",
    "Count",
    "CountDistinct",
    "Entity",
    "FeatureService",
    "FeatureView",
    "First",
    "Label",
    "Last",
    "LastN",
    "Lifetime",
    "Max",
    "Mean",
    "Min",
    "Quantile",
    "Share",
    "Source",
    "StdDev",
    "Sum",
    "TopK",
    "Variance",
]


def __getattr__(name: str) -> Any:
    """An aggregation that is not named above."""
    if name in ALL:
        return ALL[name]
    raise AttributeError(f"module 'features' has no attribute {name!r}")
