"""A model that is cut by its trees, a stage in each worker: the first reads features and begins the sums, the last ends them with scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.boosters.cache import Boosters
from inference.boosters.scores import Scores, Shape
from inference.gc_paused import gc_paused
from inference.model.encoding import Encoding
from inference.model.manifest import Manifest
from inference.online.requests import Requests
from inference.prediction import PredictionEncoder
from inference.shards.partial_scores import PartialScores
from inference.shards.shard_map import PARENT, Missing
from inference.shards.sharded import route
from inference.shards.stage import Stage
from schemas.wire import now_ms

_NOBODY = -2  # in place of a shard's number: no trees


def load_stage(folder: Path, number: int, *, version: str | None = None, shard_memory_bytes: int) -> tuple[Manifest, Stage]:
    """A stage of a model; its trees are loaded when they are needed, and the whole never.

    Raises:
        SettingError: It is no model's folder, or holds another version; or a shard of the stage alone is larger than its memory.
        DataError: The manifest is damaged.
    """
    manifest = Manifest.read(folder)
    manifest.refuse_another(version)
    boosters = Boosters(manifest.stages[number], shape=manifest.shape, budget_bytes=shard_memory_bytes)
    return manifest, Stage(number=number, stages=len(manifest.stages), boosters=boosters, links=manifest.links)


def check_stages(service: ServicePlan, folder: Path, *, shard_memory_bytes: int) -> Manifest:
    """Load every file of every stage once, as the workers will.

    Raises:
        SettingError: As `load_stage`; or it was made for another service or other definitions.
        DataError: A file is damaged.
    """
    manifest = Manifest.read(folder)
    manifest.refuse_others(service)
    for number in range(len(manifest.stages)):
        _, stage = load_stage(folder, number, version=manifest.version, shard_memory_bytes=shard_memory_bytes)
        stage.boosters.load_each()
    return manifest


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """What the scorer asks in the first worker: the sums of the first trees, and the matrix for the others.

    Attributes:
        manifest: The model's.
        stage: Its first.
    """

    manifest: Manifest
    stage: Stage

    @property
    def encoding(self) -> Encoding:
        """What makes features its matrix."""
        return self.manifest.encoding

    def score(self, matrix: NDArray[np.float64], requests: Requests) -> Scores:
        """Begin n requests; arguments and errors as of `LoadedModel.score`."""
        before = self.stage.boosters.loads
        nothing = np.zeros((len(matrix), self.manifest.outputs))
        if self.manifest.map is None:
            begun = Scores.of_one(nothing)
            shard, refused = begun.shard, begun.refused
        else:
            shard = route(self.manifest.map, list(self.manifest.shards), requests.table)
            refused = (shard == PARENT) & (self.manifest.map.missing is Missing.REFUSE)
        raw = self.stage.add(nothing, matrix, np.where(refused, _NOBODY, shard))
        return Scores(score=raw, shard=shard, refused=refused, loads=self.stage.boosters.loads - before, matrix=matrix)


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What became of n values in a later stage: each is handed on, or is a prediction, or is refused for a reason.

    Attributes:
        values: In their order.
        reasons: Why the request goes to the dead letters.
        loads: How many shards had to be loaded for it.
    """

    values: list[bytes | None]
    reasons: list[str | None]
    loads: int


@dataclass(frozen=True, kw_only=True)
class LaterStage:
    """What a later worker does with what the one before it handed on.

    Attributes:
        stage: Its own.
        shape: Of the model.
        encoder: Of the predictions, for the last.
        now_ms: The clock of `scored_at`.
    """

    stage: Stage
    shape: Shape
    encoder: PredictionEncoder
    now_ms: Callable[[], int] = now_ms

    @gc_paused()
    def continue_batch(self, values: Sequence[bytes]) -> Passed:
        """Add this stage's trees to each sum; one that cannot be costs no other its answer."""
        before = self.stage.boosters.loads
        done: list[bytes | None] = [None] * len(values)
        reasons: list[str | None] = [None] * len(values)
        self._continue(values, np.arange(len(values)), done, reasons)
        return Passed(values=done, reasons=reasons, loads=self.stage.boosters.loads - before)

    def _continue(self, values: Sequence[bytes], rows: NDArray[np.int64], done: list[bytes | None], reasons: list[str | None]) -> None:
        if not len(rows):
            return
        try:
            for row, value in zip(rows.tolist(), self._with_trees([values[row] for row in rows.tolist()]), strict=True):
                done[row] = value
        except Exception as fault:  # of a file that is damaged meanwhile, or whatever a library makes of a value
            if len(rows) == 1:
                reasons[int(rows[0])] = f"unscorable: {type(fault).__name__}: {' '.join(str(fault).split())}"
                return
            for half in np.array_split(rows, 2):
                self._continue(values, half, done, reasons)

    def _with_trees(self, values: Sequence[bytes]) -> list[bytes]:
        partial = PartialScores.unpack(values, self.shape)
        raw = self.stage.add(partial.raw, partial.matrix, partial.shard)
        if not self.stage.is_last:
            return partial.with_raw(raw).pack()
        return self.encoder.scored(partial.before, self.stage.score(raw, partial.shard), partial.between, scored_at_ms=self.now_ms())
