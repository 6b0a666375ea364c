"""A trained model into a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb

from inference.encoding import Encoding
from inference.manifest import FORMAT, MANIFEST_FILE, MODEL_FILE, Manifest, shard_file, stage_file
from inference.scores import WHOLE
from inference.shards.shard_map import PARENT, ShardMap
from inference.shards.trees import Link, cut
from schemas.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class TrainedShards:
    """The shards of a model by key.

    Attributes:
        map: Which answers what.
        boosters: Shard → its model, of those that have one.
        records: Shard → what the manifest should say of it.
        untrained: Shard → why it has no model.
    """

    map: ShardMap
    boosters: Mapping[int, lgb.Booster]
    records: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    untrained: Mapping[int, str] = field(default_factory=dict)


def save(
    folder: Path,
    booster: lgb.Booster,
    encoding: Encoding,
    *,
    record: Mapping[str, Any],
    shards: TrainedShards | None = None,
    stages: int = 1,
) -> str:
    """Write a model's files into a folder.

    Args:
        folder: Where; it is made when it is not there.
        booster: The whole model.
        encoding: Of its features.
        record: What else the manifest should say; `name`, `service` and `service_version` among it.
        shards: Of a model by key.
        stages: How many the trees of each are to be cut into.

    Returns:
        The version.

    Raises:
        SettingError: The model's objective is none that can be cut; or a shard has another number of classes than the whole.
    """
    whole = {WHOLE: booster} if shards is None else {PARENT: booster, **shards.boosters}
    outputs = booster.num_model_per_iteration()
    for shard, each in whole.items():
        if each.num_model_per_iteration() != outputs:
            raise SettingError(f"shard {shard}: gives {each.num_model_per_iteration()} scores a request, the whole model {outputs}")
    manifest = {
        "format": FORMAT,
        **record,
        "sha256": _write(folder / MODEL_FILE, booster.model_to_string())["sha256"],
        "outputs": outputs,
        "features": [{"name": name, "type": str(type_)} for name, type_ in encoding.types.items()],
        "categories": {name: list(values) for name, values in encoding.categories.items()},
    }
    if shards is not None:
        manifest["shards"] = _save_shards(folder, shards)
    if stages > 1:
        manifest["stages"] = _save_stages(folder, whole, stages)
        manifest["links"] = {str(shard): Link.of(each).json() for shard, each in whole.items()}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    version = Manifest.read(folder).version
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {"version": version}, indent=1) + "\n")
    return version


def _save_shards(folder: Path, shards: TrainedShards) -> dict[str, Any]:
    members = [
        {"shard": shard, **_write(shard_file(folder, shard), booster.model_to_string()), **shards.records.get(shard, {})}
        for shard, booster in sorted(shards.boosters.items())
    ]
    return {"map": shards.map.json(), "members": members, "untrained": {str(shard): why for shard, why in shards.untrained.items()}}


def _save_stages(folder: Path, boosters: Mapping[int, lgb.Booster], stages: int) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = [{} for _ in range(stages)]
    for shard, booster in boosters.items():
        for stage, text in enumerate(cut(booster, stages)):
            if text is not None:
                members[stage][str(shard)] = _write(stage_file(folder, stage, shard), text)
    return members


def _write(path: Path, text: str) -> dict[str, Any]:
    """What the manifest says of the file."""
    content = text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
