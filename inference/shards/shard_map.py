"""Which shard of a model answers which request: a versioned map from a declared key to numbered shards.

A key's hash is Kafka's own (`murmur2`), and a shard owns a class of its residues, as a partition does. So where requests are keyed by the shard key,
and of the number of shards and that of partitions one divides the other, a partition holds the requests of its own shards alone.
A shard is split by halving its class, as in linear hashing (Litwin, 1980): every other key stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from math import lcm
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from inference.shards.murmur2 import murmur2
from schemas.errors import SettingError
from schemas.types import DataType

PARENT = -1
"""In place of a shard's number: no shard of the map has the key, or the shard has no model; the whole model is its parent."""
MOST_SHARDS = 1 << 16
KEY_TYPES = (DataType.STRING, DataType.INT64)
"""Of fields that may be part of a key: what has one text."""
_LARGEST_MODULUS = 1 << 20
_SEPARATOR, _ESCAPES = "|", (("%", "%25"), ("|", "%7C"))


class Missing(StrEnum):
    """What becomes of a request that no shard can answer."""

    PARENT = "parent"
    REFUSE = "refuse"


class Residues(NamedTuple):
    """The keys whose hash leaves `residue` when divided by `modulus`."""

    modulus: int
    residue: int


@dataclass(frozen=True, kw_only=True)
class ShardMap:
    """A map; not changed in place, each change makes the next version.

    Attributes:
        version: Counted from 1.
        key: The fields of the request that make up the key.
        classes: Shard → the residues whose keys are its own; of all shards together every residue once, or no class at all.
        segments: Key → the shard that is its alone; looked up before the classes.
        missing: What becomes of the others, and of those whose shard has no model.
    """

    version: int = 1
    key: tuple[str, ...]
    classes: Mapping[int, Residues] = field(default_factory=dict)
    segments: Mapping[str, int] = field(default_factory=dict)
    missing: Missing = Missing.PARENT

    @classmethod
    def of(cls, key: Sequence[str], *, shards: int = 0, segments: Sequence[str] = (), missing: Missing = Missing.PARENT) -> Self:
        """A first map: so many shards of equal shares of the hashes, then one for each of the keys named."""
        classes = {shard: Residues(shards, shard) for shard in range(shards)}
        return cls(key=tuple(key), classes=classes, segments={text: shards + n for n, text in enumerate(segments)}, missing=missing)

    def __post_init__(self) -> None:
        """Refuse a map that would answer a key twice, or not at all.

        Raises:
            SettingError: Which, in one line.
        """
        if not self.key or len(set(self.key)) < len(self.key):
            raise SettingError(f"shard map: the key is ({', '.join(self.key)}); allowed are one or more fields, each once")
        if not self.shards:
            raise SettingError("shard map: no shard; allowed are shards by hash, keys with a shard of their own, or both")
        if len(self.shards) > MOST_SHARDS or len(self.shards) < len(self.classes) + len(self.segments):
            raise SettingError(f"shard map: {len(self.shards):,} shards; allowed are up to {MOST_SHARDS:,}, each of one class or one key")
        if self.classes and not (self._owners >= 0).all():
            raise SettingError("shard map: its classes leave out a residue; a split must keep both halves")

    @cached_property
    def shards(self) -> tuple[int, ...]:
        """All numbers, ascending."""
        return tuple(sorted({*self.classes, *self.segments.values()}))

    @cached_property
    def _owners(self) -> NDArray[np.int64]:
        """int64[least common multiple of all moduli]: residue → shard."""
        size = lcm(*(each.modulus for each in self.classes.values()))
        if size > _LARGEST_MODULUS:
            raise SettingError(f"shard map: its classes are of {size:,} residues; allowed are up to {_LARGEST_MODULUS:,}")
        owners = np.full(size, PARENT, dtype=np.int64)
        for shard, (modulus, residue) in self.classes.items():
            if not 0 <= residue < modulus or (owners[residue::modulus] >= 0).any():
                raise SettingError(f"shard map: the class of shard {shard} is not its alone")
            owners[residue::modulus] = shard
        return owners

    def route(self, requests: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
        """The shard of every request, int64[rows]; `PARENT` where the map has none, or a field of the key is null.

        Args:
            requests: The fields of the key, strings or int64, among others.
        """
        encoded: Any = self.texts(requests).dictionary_encode()
        row = encoded.indices
        owners = np.append(self._shards_of(encoded.dictionary), PARENT)
        routed: NDArray[np.int64] = owners[row.fill_null(len(owners) - 1).to_numpy(zero_copy_only=False)]
        return routed

    def texts(self, requests: pa.Table | pa.RecordBatch) -> pa.Array[Any]:
        """The key of every request, `key_texts`."""
        return key_texts(requests, self.key)

    def _shards_of(self, texts: pa.Array[Any]) -> NDArray[np.int64]:
        """Of distinct keys."""
        by_hash = self._owners[murmur2(texts) % len(self._owners)] if self.classes else np.full(len(texts), PARENT, dtype=np.int64)
        if not self.segments:
            return by_hash
        keys, shards = self._segments
        found: Any = pc.index_in(texts, value_set=keys)
        own = shards[found.fill_null(-1).to_numpy(zero_copy_only=False)]
        return np.where(own == PARENT, by_hash, own)

    @cached_property
    def _segments(self) -> tuple[pa.Array[Any], NDArray[np.int64]]:
        """The keys that have a shard of their own, and these shards; at the end that of all others."""
        keys: pa.Array[Any] = pa.array(list(self.segments), type=pa.string())
        return keys, np.append(np.fromiter(self.segments.values(), dtype=np.int64), PARENT)

    def split(self, shard: int) -> Self:
        """The next version: half of the shard's keys move to a new shard, no other key moves.

        Raises:
            SettingError: There is no such shard, or it is of one key.
        """
        if shard not in self.classes:
            known = ", ".join(map(str, self.classes)) or "none"
            raise SettingError(f"--split {shard}: no shard of that number that holds keys by their hash; there are {known}")
        modulus, residue = self.classes[shard]
        halves = {shard: Residues(2 * modulus, residue), self.shards[-1] + 1: Residues(2 * modulus, residue + modulus)}
        return replace(self, version=self.version + 1, classes={**self.classes, **halves})

    def with_segment(self, text: str) -> Self:
        """The next version: a key has a shard of its own, no other key moves.

        Raises:
            SettingError: It has one already.
        """
        if text in self.segments:
            raise SettingError(f"--segment {text}: has shard {self.segments[text]} already")
        return replace(self, version=self.version + 1, segments={**self.segments, text: self.shards[-1] + 1})

    def title(self, shard: int) -> str:
        """What keys a shard holds, for people."""
        if shard in self.classes:
            modulus, residue = self.classes[shard]
            return f"hash % {modulus} = {residue}"
        return ", ".join(f"{'|'.join(self.key)} = {text}" for text, number in self.segments.items() if number == shard)

    def json(self) -> dict[str, Any]:
        """As a manifest says it."""
        return {
            "version": self.version,
            "key": list(self.key),
            "hash": "murmur2",
            "classes": {str(shard): list(residues) for shard, residues in self.classes.items()},
            "segments": dict(self.segments),
            "missing": str(self.missing),
        }

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Self:
        """Read what `json` gave.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is none.
            SettingError: It would answer a key twice, or not at all.
        """
        if said["hash"] != "murmur2":
            raise ValueError(f"hash {said['hash']}; this version has murmur2")
        return cls(
            version=int(said["version"]),
            key=tuple(map(str, said["key"])),
            classes={int(shard): Residues(*map(int, residues)) for shard, residues in said["classes"].items()},
            segments={str(text): int(shard) for text, shard in said["segments"].items()},
            missing=Missing(said["missing"]),
        )


def key_texts(table: pa.Table | pa.RecordBatch, key: Sequence[str]) -> pa.Array[Any]:
    """A key of one or more fields as text, row by row; null where a field is.

    Of one field it is the value. Of several it is their values with `|` between them, and in them `%7C` for that and `%25` for `%`.
    """
    parts = []
    for name in key:
        column = table.column(name)
        text: Any = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())
        if len(key) > 1:
            for character, escaped in _ESCAPES:
                text = pc.replace_substring(text, character, escaped)
        parts.append(text)
    joined: pa.Array[Any] = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, _SEPARATOR)
    return joined
