"""What compiled code does for a partial and for a finish: a word for each way that it knows.

A partial or a finish that names none is merged by its own `merge`, in numpy, and all of its view with it. What a word means is what the class that names it does
in numpy, to the bit.
"""

from __future__ import annotations

from enum import IntEnum


class MergeCode(IntEnum):
    """How tiles merge, by the columns of a partial in their order."""

    TOTAL = 0
    """One column, added up; 0 of nothing."""
    SMALLEST = 1
    """One column; NaN is larger than every number."""
    LARGEST = 2
    """One column."""
    FIRST = 3
    """Time, perhaps a tie, value: the value of the smallest of them."""
    LAST = 4
    """The largest."""
    MOMENTS = 5
    """Count, pivot, Σ(x − pivot), Σ(x − pivot)²."""


class FinishCode(IntEnum):
    """How what was merged becomes a value."""

    VALUE = 0
    """As it is."""
    RATIO = 1
    """Of two totals, the second a count; null where that is 0."""
    VARIANCE = 2
    """Of moments; null below two values."""
    STDDEV = 3
    """Its square root."""
