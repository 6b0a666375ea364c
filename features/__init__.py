"""What is computed: vocabulary, kernel, compiler and definitions."""

from __future__ import annotations

from features.vocabulary.aggregations import Count, First, Last, Lifetime, Max, Mean, Min, Share, StdDev, Sum, Variance
from features.vocabulary.aggregations_of_maps import CategoryCounts, CountDistinct, LastN, Quantile, TopK
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
