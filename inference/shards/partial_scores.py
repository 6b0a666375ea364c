"""What one stage of a model hands on to the next for each request, in one value: shard, sums so far, feature vector, and the prediction but for its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference.boosters.scores import Shape


@dataclass(frozen=True, kw_only=True)
class PartialScores:
    """Of n requests.

    Attributes:
        shard: int64[n], whose trees are asked.
        raw: float64[n, outputs], the sums of the trees that were.
        matrix: float64[n, features].
        before: Of n, the prediction's bytes before its score.
        between: Of n, those from there to the time of scoring.
    """

    shard: NDArray[np.int64]
    raw: NDArray[np.float64]
    matrix: NDArray[np.float64]
    before: Sequence[bytes]
    between: Sequence[bytes]

    def with_raw(self, raw: NDArray[np.float64]) -> Self:
        """With other sums."""
        return replace(self, raw=raw)

    def pack(self) -> list[bytes]:
        """One value for each request; the fields of fixed length first, little-endian."""
        n, columns = self.matrix.shape
        fixed = np.empty(n, dtype=_layout(Shape(columns=columns, outputs=self.raw.shape[1])))
        fixed["shard"], fixed["raw"], fixed["matrix"], fixed["before"] = (
            self.shard,
            self.raw,
            self.matrix,
            [len(each) for each in self.before],
        )
        whole, size = fixed.tobytes(), fixed.dtype.itemsize
        parts = zip(range(0, n * size, size), self.before, self.between, strict=True)
        return [whole[start : start + size] + before + between for start, before, between in parts]

    @classmethod
    def unpack(cls, values: Sequence[bytes], shape: Shape) -> Self:
        """Read what `pack` wrote of a model of that shape."""
        layout = _layout(shape)
        size = layout.itemsize
        fixed = np.frombuffer(b"".join(value[:size] for value in values), dtype=layout)
        ends = (fixed["before"] + size).tolist()
        return cls(
            shard=fixed["shard"].astype(np.int64),
            raw=np.ascontiguousarray(fixed["raw"], dtype=np.float64),
            matrix=np.ascontiguousarray(fixed["matrix"], dtype=np.float64),
            before=[value[size:end] for value, end in zip(values, ends, strict=True)],
            between=[value[end:] for value, end in zip(values, ends, strict=True)],
        )


def _layout(shape: Shape) -> np.dtype[np.void]:
    return np.dtype([("shard", "<i8"), ("raw", "<f8", (shape.outputs,)), ("before", "<i4"), ("matrix", "<f8", (shape.columns,))])
