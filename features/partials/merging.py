"""What a view's features need merged: every partial over every window once, however many features are made of it. Found when a plan is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from features.partials.finish import Finished
from features.partials.partial import Partial
from features.window import Span, Window


class MergedFeature(Finished, Protocol):
    """A feature, as far as what is merged for it goes."""

    @property
    def partials(self) -> tuple[Partial, ...]:
        """What it is made of."""
        ...

    @property
    def window(self) -> Window:
        """What it covers."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """The features of the same partials over the same window: they are finished together.

    Attributes:
        places: For each partial its place in `Merging.merges`.
    """

    partials: tuple[Partial, ...]
    places: tuple[int, ...]
    features: tuple[Finished, ...]


@dataclass(frozen=True, kw_only=True)
class Merging:
    """What is merged, and what becomes of it.

    Attributes:
        merges: Partial and window, an index into the view's windows.
        groups: In the order of their first features.
    """

    merges: tuple[tuple[Partial, int], ...]
    groups: tuple[FeatureGroup, ...]

    @classmethod
    def of(cls, features: Sequence[MergedFeature], windows: Sequence[Span]) -> Merging:
        """For features over these windows."""
        numbers = {window: number for number, window in enumerate(windows)}
        merges = {
            (partial.name, numbers[feature.window]): (partial, numbers[feature.window])
            for feature in features
            for partial in feature.partials
        }
        places = {key: place for place, key in enumerate(merges)}
        alike: dict[tuple[int, ...], list[MergedFeature]] = defaultdict(list)
        for feature in features:
            alike[tuple(places[partial.name, numbers[feature.window]] for partial in feature.partials)].append(feature)
        groups = (FeatureGroup(partials=group[0].partials, places=place, features=tuple(group)) for place, group in alike.items())
        return cls(merges=tuple(merges.values()), groups=tuple(groups))
