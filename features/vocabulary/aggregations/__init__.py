"""The aggregations of the vocabulary, a file for each or for a few that belong together. Whatever is here is part of it: `ALL` finds it."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from features.vocabulary.aggregation import Aggregation


def _found() -> dict[str, type[Aggregation]]:
    """The aggregations that the modules of this package define, by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name)]
    own = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Aggregation) and value.__module__ == module.__name__
    ]
    return {each.__name__: each for each in sorted(own, key=lambda each: each.__name__)}


ALL: Mapping[str, type[Aggregation]] = _found()
"""Name → class, in the order of names."""
