"""What is computed: vocabulary, kernel, compiler and definitions."""

from __future__ import annotations

from features.vocabulary import (
    CategoryCounts,
    Count,
    CountDistinct,
    Entity,
    FeatureService,
    FeatureView,
    First,
    Label,
    Last,
    LastN,
    Max,
    Mean,
    Min,
    Quantile,
    Share,
    Source,
    StdDev,
    Sum,
    TopK,
    Variance,
)

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
