"""The aggregations of the vocabulary, a file for each or for a few that belong together. Whatever is here is part of it: `ALL` finds it."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from features.vocabulary.aggregation import Aggregation


def found_in(module: ModuleType) -> list[type[Aggregation]]:
    """The aggregations that a module defines, not those it imports."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Aggregation) and value.__module__ == module.__name__
    ]


def _found() -> dict[str, type[Aggregation]]:
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    own = [each for module in modules for each in found_in(module)]
    return {each.__name__: each for each in sorted(own, key=lambda each: each.__name__)}


ALL: Mapping[str, type[Aggregation]] = _found()
"""Name → class, in the order of names."""
