"""Kafka's own hash of a record's key, for all words of a column at once.

The default partitioner of Kafka's clients takes it modulo the partitions: org.apache.kafka.common.utils.Utils.murmur2 and toPositive,
librdkafka's `murmur2` and `murmur2_random`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_MULTIPLIER, _SHIFT, _SEED = np.uint32(0x5BD1E995), np.uint32(24), 0x9747B28C
_BLOCK = 4
_POSITIVE = 0x7FFFFFFF

_Words = NDArray[np.uint32]


def murmur2(words: pa.Array[Any]) -> NDArray[np.int64]:
    """The hash of every word's UTF-8 bytes, as a partitioner uses it: int64[words], 0 to 2³¹ − 1.

    Args:
        words: Strings, none of them null.
    """
    begin, lengths, data = _bytes_of(words)
    order = np.argsort(-lengths, kind="stable")  # the longest first: those that still have a block are in front
    begin, lengths = begin[order], lengths[order]
    hashes = (lengths ^ _SEED).astype(np.uint32)
    blocks = lengths // _BLOCK
    active = len(lengths) - np.searchsorted(blocks[::-1], np.arange(1, int(blocks.max(initial=0)) + 1))
    for number, count in enumerate(active.tolist()):
        block = _mixed(_little_endian(data, begin[:count] + number * _BLOCK, _BLOCK))
        hashes[:count] = hashes[:count] * _MULTIPLIER ^ block
    left = lengths % _BLOCK
    for size in range(1, _BLOCK):
        rows = np.flatnonzero(left == size)
        tail = _little_endian(data, begin[rows] + blocks[rows] * _BLOCK, size)
        hashes[rows] = (hashes[rows] ^ tail) * _MULTIPLIER
    hashes ^= hashes >> np.uint32(13)
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint32(15)
    result = np.empty(len(words), dtype=np.int64)
    result[order] = hashes & np.uint32(_POSITIVE)
    return result


def _bytes_of(words: pa.Array[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Where each word's bytes begin, how many they are, and the bytes."""
    words = words.cast(pa.large_string())
    _, offsets, data = words.buffers()
    bounds = (
        np.frombuffer(memoryview(offsets), dtype=np.int64)[words.offset : words.offset + len(words) + 1]
        if offsets
        else np.zeros(1, dtype=np.int64)
    )
    return bounds[:-1], np.diff(bounds), np.frombuffer(memoryview(data), dtype=np.uint8) if data else np.empty(0, dtype=np.uint8)


def _little_endian(data: NDArray[np.uint8], begin: NDArray[np.int64], size: int) -> _Words:
    found: _Words = np.zeros(len(begin), dtype=np.uint32)
    for byte in range(size):
        found |= data[begin + byte].astype(np.uint32) << np.uint32(8 * byte)
    return found


def _mixed(block: _Words) -> _Words:
    block = block * _MULTIPLIER
    mixed: _Words = (block ^ block >> _SHIFT) * _MULTIPLIER
    return mixed
