"""Waiting for what has to come: for an event, never for a time; and for so long that no machine is too slow for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 900.0
"""Nothing takes as long, not on a machine many times slower; what works never waits for it, and what hangs is ended by it."""

T = TypeVar("T")


def eventually(
    what: str | Callable[[], str], ready: Callable[[], T], *, unless: Callable[[], object] = lambda: None, poll_s: float = 0.1
) -> T:
    """Poll until it is true, then return it.

    Args:
        what: Is waited for; or what there is instead, asked when it did not come.
        ready: Whether it is there.
        unless: Called before each look: raises when it can come no more.
        poll_s: Between two looks, at least; twice as long as one takes, so that what is waited for has most of the machine.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        unless()
        looked = time.monotonic()
        if found := ready():
            return found
        took_s = time.monotonic() - looked
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(max(poll_s, 2 * took_s))
