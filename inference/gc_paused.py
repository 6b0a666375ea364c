"""Batches without Python's cyclic garbage collector.

A batch makes thousands of lists and no cycle among them. Each few hundred of them start the collector, and every so often it then goes through all that the
process holds: tens of milliseconds in a worker with Flink's and LightGBM's Python, several times the batch's own work.
"""

from __future__ import annotations

import gc
from contextlib import ContextDecorator


class gc_paused(ContextDecorator):  # noqa: N801  # reads as what it is, as a decorator too
    """Nothing is collected inside, in any thread; reference counts free what a batch makes, as ever. Whoever switched the collector off keeps it off."""

    __slots__ = ("_paused",)

    def _recreate_cm(self) -> gc_paused:
        return gc_paused()  # each call its own

    def __enter__(self) -> None:
        """Switch it off."""
        self._paused = gc.isenabled()
        if self._paused:
            gc.disable()

    def __exit__(self, *_: object) -> None:
        """Switch it on again."""
        if self._paused:
            gc.enable()
