"""What is computed: vocabulary, kernel, compiler and definitions."""

from __future__ import annotations

from features.vocabulary import (
    Count,
    Entity,
    FeatureService,
    FeatureView,
    First,
    Label,
    Last,
    Max,
    Mean,
    Min,
    Source,
    StdDev,
    Sum,
    Variance,
)

__all__ = [
    "Count",
    "Entity",
    "FeatureService",
    "FeatureView",
    "First",
    "Label",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Source",
    "StdDev",
    "Sum",
    "Variance",
]
