"""Batches without Python's cyclic garbage collector.

A batch makes thousands of lists and no cycle among them. Each few hundred of them start the collector, and every so often it then goes through all that the
process holds: tens of milliseconds in a worker with Flink's and LightGBM's Python, several times the batch's own work.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Nothing is collected inside, in any thread; reference counts free what a batch makes, as ever. Whoever switched the collector off keeps it off."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
