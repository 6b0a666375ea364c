"""What pyspark leaves behind where its Java dies."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

from jobs.spark_session import UnclosedIterators


class PyLocalIterable:
    """As pyspark's, which raises as it is freed."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


class Another:
    """Somebody else's."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("cls", "error", "told"),
    [
        (PyLocalIterable, BrokenPipeError("gone"), False),
        (PyLocalIterable, ValueError("a fault"), True),
        (Another, BrokenPipeError("gone"), True),
    ],
)
def test_only_the_broken_sockets_of_its_iterators_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, cls: Callable[[Exception], object], error: Exception, told: bool
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", UnclosedIterators(lambda unraisable: seen.append(unraisable.exc_value)))
    cls(error)
    gc.collect()
    assert seen == ([error] if told else [])
