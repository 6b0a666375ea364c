"""A booster for each shard of a model: what `tidemark train --shard-key` trains beside the whole one, their parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.model.manifest import Manifest, refuse_key
from inference.model.writer import TrainedShards
from inference.shards.shard_map import Missing, ShardMap
from jobs.training.dataset import TrainingSet
from jobs.training.fit import FIT, STOP, TEST, Examples, Trained, fit, measured, scores
from schemas.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a model is to be cut by key.

    Attributes:
        map: Which shard answers what.
        before: The map that this one is a change of; None of a first one.
        fewest_rows: A shard with fewer to fit has no model.
    """

    map: ShardMap
    before: ShardMap | None = None
    fewest_rows: int


def sharding(
    service: ServicePlan,
    *,
    key: Sequence[str],
    shards: int,
    segments: Sequence[str],
    missing: Missing,
    shards_of: Path | None,
    split: Sequence[int],
    fewest_rows: int,
) -> Sharding | None:
    """What the options of `tidemark train` say; None where they say nothing of shards.

    Raises:
        SettingError: They contradict each other, or the requests have no such key.
    """
    if shards_of is None:
        if split:
            raise SettingError("--split: of which map? say --shards-of MODEL")
        if not key:
            if shards or segments:
                raise SettingError("--shards, --segment: by which fields of the request? say --shard-key FIELD")
            return None
        refuse_key(service, key, where="--shard-key")
        return Sharding(map=ShardMap.of(key, shards=shards, segments=_once(segments), missing=missing), fewest_rows=fewest_rows)
    if key or shards:
        raise SettingError("--shards-of: has a key and a number of shards already; change it with --split and --segment")
    older = Manifest.read(shards_of).map
    if older is None:
        raise SettingError(f"--shards-of {shards_of}: is a model in one piece; say --shard-key")
    changed = older
    for shard in split:
        changed = changed.split(shard)
    for text in segments:
        changed = changed.with_segment(text)
    refuse_key(service, changed.key, where=f"--shards-of {shards_of}")
    return Sharding(map=changed, before=older, fewest_rows=fewest_rows)


def train_shards(
    data: TrainingSet, examples: Examples, parent: Trained, sharding: Sharding
) -> tuple[TrainedShards, dict[str, Any], list[str]]:
    """Train each shard on its own rows, with the parent's encoding and parameters.

    Returns:
        The shards; how good they are together on the test rows, the parent standing in; and lines for the user.
    """
    shard = sharding.map.route(data.table)
    test = examples.parts[TEST]
    together = scores(parent.booster, examples.matrix[test])
    trained: dict[int, Trained] = {}
    records: dict[int, dict[str, Any]] = {}
    untrained: dict[int, str] = {}
    lines = []
    for number in sharding.map.shards:
        rows = shard == number
        own = examples.only(rows)
        title = f"  shard {number} ({sharding.map.title(number)})"
        why = _too_little(own, sharding.fewest_rows)
        if why is not None:
            untrained[number] = why
            lines.append(f"{title}: no model: {why}")
            continue
        trained[number] = fit(own)
        parents = measured(together[rows[test]], own.happened[own.parts[TEST]])
        together[rows[test]] = scores(trained[number].booster, own.matrix[own.parts[TEST]])
        trees = trained[number].booster.num_trees()
        records[number] = {"rows": int(rows.sum()), "trees": trees, "metrics": trained[number].metrics, "parent": {TEST: parents}}
        lines.append(
            f"{title}: {int(own.parts[FIT].sum()):,} rows to fit, {trees} trees, "
            f"test log loss {figure(trained[number].metrics[TEST]['log_loss'])}, the parent's {figure(parents['log_loss'])}"
        )
    whole = measured(together, examples.happened[test])
    shards = TrainedShards(
        map=sharding.map, boosters={number: each.booster for number, each in trained.items()}, records=records, untrained=untrained
    )
    return shards, whole, [_heading(sharding, shards, whole), *_moved(sharding, shard, data), *lines]


def _heading(sharding: Sharding, shards: TrainedShards, whole: dict[str, Any]) -> str:
    others = "the parent answers" if sharding.map.missing is Missing.PARENT else "their requests are refused"
    missing = f", {len(shards.untrained)} without ({others})" if shards.untrained else ""
    return (
        f"by {' × '.join(sharding.map.key)}, shard map version {sharding.map.version}: {len(shards.boosters)} shards with a model{missing}; "
        f"together test AUC {figure(whole['auc'])}, log loss {figure(whole['log_loss'])}"
    )


def _moved(sharding: Sharding, shard: NDArray[np.int64], data: TrainingSet) -> list[str]:
    if sharding.before is None:
        return []
    moved = int((sharding.before.route(data.table) != shard).sum())
    return [f"since shard map version {sharding.before.version}: {moved:,} of {len(shard):,} rows have another shard"]


def _too_little(own: Examples, fewest_rows: int) -> str | None:
    rows = int(own.parts[FIT].sum())
    if rows < fewest_rows:
        return f"{rows:,} rows to fit, fewer than {fewest_rows:,}"
    for part in (FIT, STOP):
        happened = own.happened[own.parts[part]]
        if not happened.any() or happened.all():
            return f"its rows to {part} with are all of one outcome" if len(happened) else f"no row to {part} with"
    return None


def _once(segments: Sequence[str]) -> Sequence[str]:
    twice = sorted({text for text in segments if segments.count(text) > 1})
    if twice:
        raise SettingError(f"--segment {twice[0]}: said twice")
    return segments


def figure(value: float | None) -> str:
    """A metric for people; so few rows may not have it."""
    return "unknown" if value is None else f"{value:.4f}"
