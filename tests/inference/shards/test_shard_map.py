"""A key has one shard, the same everywhere and always; a change of the map moves the keys that must move and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.shards.murmur2 import murmur2
from inference.shards.shard_map import PARENT, Missing, Residues, ShardMap
from schemas.errors import SettingError

KNOWN = {  # of Kafka's own UtilsTest, signed
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
KEYS = [f"key {number}" for number in range(5_000)]


def requests(keys: list[Any]) -> pa.Table:
    return pa.table({"at": range(len(keys)), "key": pa.array(keys, type=pa.string())})


def murmur2_by_definition(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 as Kafka seeds it, a byte at a time."""
    multiplier, word = 0x5BD1E995, 0xFFFFFFFF
    state = 0x9747B28C ^ len(data)
    for start in range(0, len(data) - 3, 4):
        block = int.from_bytes(data[start : start + 4], "little") * multiplier & word
        state = state * multiplier & word ^ (block ^ block >> 24) * multiplier & word
    if tail := data[len(data) // 4 * 4 :]:
        state = (state ^ int.from_bytes(tail, "little")) * multiplier & word
    state = (state ^ state >> 13) * multiplier & word
    return (state ^ state >> 15) & 0x7FFFFFFF


def test_the_hash_is_kafkas() -> None:
    assert murmur2(pa.array(list(KNOWN))).tolist() == [value & 0x7FFFFFFF for value in KNOWN.values()]


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, 3))
def test_every_word_has_its_own_hash_whatever_stands_beside_it(words: list[str], skipped: int) -> None:
    expected = [murmur2_by_definition(word.encode()) for word in words]
    assert murmur2(pa.array(words, type=pa.string()).slice(skipped)).tolist() == expected[skipped:]


@given(st.integers(1, 64), st.integers(1, 64))
def test_of_shards_and_partitions_one_divides_the_other_or_a_shard_has_several(shards: int, partitions: int) -> None:
    partition = murmur2(pa.array(KEYS)) % partitions
    shard = ShardMap.of(["key"], shards=shards).route(requests(KEYS))
    if partitions % shards == 0:
        assert np.array_equal(partition % shards, shard)
    if shards % partitions == 0:
        assert np.array_equal(shard % partitions, partition)


def test_a_split_moves_half_of_its_shard_and_nothing_else() -> None:
    first = ShardMap.of(["key"], shards=6)
    before = first.route(requests(KEYS))
    second = first.split(2)
    after = second.route(requests(KEYS))
    moved = before != after
    assert set(before[moved]) == {2} and set(after[moved]) == {6}
    assert 0.4 < moved.sum() / (before == 2).sum() < 0.6
    assert (first.version, second.version, second.shards) == (1, 2, (0, 1, 2, 3, 4, 5, 6))
    third = second.split(6).split(2)
    assert set(before[before != third.route(requests(KEYS))]) == {2}
    assert {shard: residues for shard, residues in third.classes.items() if shard in (2, 6, 7, 8)} == {
        2: Residues(24, 2),
        6: Residues(24, 8),
        7: Residues(24, 20),
        8: Residues(24, 14),
    }


def test_a_key_with_a_shard_of_its_own_moves_alone() -> None:
    first = ShardMap.of(["key"], shards=4)
    second = first.with_segment("key 7")
    before, after = first.route(requests(KEYS)), second.route(requests(KEYS))
    assert np.flatnonzero(before != after).tolist() == [7]
    assert (after[7], second.version, second.shards) == (4, 2, (0, 1, 2, 3, 4))


def test_what_the_map_has_not_is_the_parents() -> None:
    only = ShardMap.of(["key"], segments=["a", "b"])
    assert only.route(requests(["b", "c", None, "a", "b"])).tolist() == [1, PARENT, PARENT, 0, 1]
    assert only.route(requests([])).tolist() == []
    assert ShardMap.of(["key"], shards=3).route(requests([None])).tolist() == [PARENT]


def test_a_key_of_several_fields_is_one_text_that_no_other_key_has() -> None:
    table = pa.table({"a": ["x|y", "x", "x%7Cy", None], "n": pa.array([1, -2, 1, 3], type=pa.int64())})
    map_ = ShardMap.of(["a", "n"], segments=["x|-2"])
    assert map_.texts(table).to_pylist() == ["x%7Cy|1", "x|-2", "x%257Cy|1", None]
    assert map_.route(table).tolist() == [PARENT, 0, PARENT, PARENT]
    assert ShardMap.of(["a"], shards=1).texts(table).to_pylist() == ["x|y", "x", "x%7Cy", None]


@given(st.integers(1, 8), st.lists(st.integers(0, 30), max_size=5), st.lists(st.text(max_size=3), max_size=3, unique=True))
def test_a_map_is_read_back_as_it_was_written(shards: int, splits: list[int], segments: list[str]) -> None:
    map_ = ShardMap.of(["key"], shards=shards, segments=segments, missing=Missing.REFUSE)
    for split in splits:
        map_ = map_.split(list(map_.classes)[split % len(map_.classes)])
    again = ShardMap.parse(map_.json())
    assert again == map_
    assert np.array_equal(again.route(requests(KEYS)), map_.route(requests(KEYS)))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ShardMap.of([], shards=2), "the key is ()"),
        (lambda: ShardMap.of(["a", "a"], shards=2), "each once"),
        (lambda: ShardMap.of(["a"]), "no shard"),
        (lambda: ShardMap.of(["a"], shards=1 << 17), "allowed are up to"),
        (lambda: ShardMap(key=("a",), classes={0: Residues(2, 0), 1: Residues(2, 0)}), "shard 1 is not its alone"),
        (lambda: ShardMap(key=("a",), classes={0: Residues(2, 0)}), "leave out a residue"),
        (lambda: ShardMap(key=("a",), classes={0: Residues(1, 1)}), "shard 0 is not its alone"),
        (lambda: ShardMap(key=("a",), classes={0: Residues(1, 0)}, segments={"x": 0}), "each of one class or one key"),
        (lambda: ShardMap(key=("a",), classes={0: Residues(1 << 21, 0)}), "of 2,097,152 residues"),
        (lambda: ShardMap.of(["a"], shards=2, segments=["x"]).split(2), "--split 2: no shard of that number"),
        (lambda: ShardMap.of(["a"], segments=["x"]).with_segment("x"), "--segment x: has shard 0 already"),
    ],
)
def test_a_map_that_would_answer_twice_or_not_at_all_is_refused(made: Any, said: str) -> None:
    with pytest.raises(SettingError) as error:
        made()
    assert said in str(error.value) and "\n" not in str(error.value)
