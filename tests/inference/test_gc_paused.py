"""A batch is worked through without a garbage collection, and what was switched off for it is on again after."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inference.gc_paused import gc_paused
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import BY_KEY, SERVICE, requests_of, tiles_of


@contextmanager
def collections() -> Iterator[list[str]]:
    """The garbage collections in the block, which would come all the time."""
    seen: list[str] = []
    before = gc.get_threshold()

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            seen.append(phase)

    gc.callbacks.append(note)
    gc.collect()
    seen.clear()
    gc.set_threshold(300, 1, 1)  # the few objects of Python's own calls stay below
    try:
        yield seen
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(note)


def many_reads(client: Client) -> Callable[[], object]:
    reader = OnlineReader(SERVICE, RedisStore(client))
    requests = requests_of([(f"key {number}", 0) for number in range(3_000)])
    return lambda: reader.read(requests)


def many_writes(client: Client) -> Callable[[], object]:
    writer = TileWriter(BY_KEY, RedisStore(client))
    tile = tiles_of(BY_KEY, [event(0)])
    tiles = tile.take([0] * 3_000).set_column(0, "key", [[f"key {number}" for number in range(3_000)]])
    return lambda: writer.write(tiles)


@pytest.mark.parametrize("prepare", [many_reads, many_writes])
def test_a_batch_starts_no_collection(client: Client, prepare: Callable[[Client], Callable[[], object]]) -> None:
    call = prepare(client)
    call()
    with collections() as seen:
        call()
        during = len(seen)
    assert during <= 1  # the one that was due when the batch was done
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), gc_paused():
        assert not gc.isenabled()
        _ = 1 / 0
    assert gc.isenabled()


def test_batches_within_batches_are_one() -> None:
    with gc_paused():
        with gc_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
