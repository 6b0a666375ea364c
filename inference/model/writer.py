"""A trained model into a folder: one text of each booster, from which all its files are made.

The text is what `booster.predict(matrix)` answers with, by its defaults: the trees up to `best_iteration` where early stopping or its owner has set one,
otherwise all. What is loaded from it knows of no others, so stages, links and scores cannot be of other trees than `model.txt`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb

from inference.boosters.scores import WHOLE
from inference.boosters.trees import Link, cut
from inference.model.encoding import Encoding
from inference.model.manifest import FORMAT, MANIFEST_FILE, MODEL_FILE, Manifest, shard_file, stage_file
from inference.shards.shard_map import PARENT, ShardMap
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
        SettingError: A booster that does not fit the encoding, or has another number of classes than the whole; or an objective that cannot be cut. Nothing
            has been written then.
    """
    whole = {WHOLE: booster} if shards is None else {PARENT: booster, **shards.boosters}
    for shard, each in whole.items():
        _refuse_misfit(each, encoding, where="booster" if each is booster else f"shard {shard}")
    outputs = booster.num_model_per_iteration()
    for shard, each in whole.items():
        if each.num_model_per_iteration() != outputs:
            raise SettingError(f"shard {shard}: gives {each.num_model_per_iteration()} scores a request, the whole model {outputs}")
        if stages > 1:
            Link.of(each)
    texts = {shard: each.model_to_string(num_iteration=each.best_iteration) for shard, each in whole.items()}
    manifest = {
        "format": FORMAT,
        **record,
        "sha256": _write(folder / MODEL_FILE, texts[WHOLE if shards is None else PARENT])["sha256"],
        "outputs": outputs,
        "features": [{"name": name, "type": str(type_)} for name, type_ in encoding.types.items()],
        "categories": {name: list(values) for name, values in encoding.categories.items()},
    }
    if shards is not None:
        manifest["shards"] = _save_shards(folder, shards, texts)
    if stages > 1:
        manifest |= _save_stages(folder, texts, stages)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    version = Manifest.read(folder).version
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {"version": version}, indent=1) + "\n")
    return version


def _save_shards(folder: Path, shards: TrainedShards, texts: Mapping[int, str]) -> dict[str, Any]:
    members = [
        {"shard": shard, **_write(shard_file(folder, shard), texts[shard]), **shards.records.get(shard, {})}
        for shard in sorted(shards.boosters)
    ]
    return {"map": shards.map.json(), "members": members, "untrained": {str(shard): why for shard, why in shards.untrained.items()}}


def _save_stages(folder: Path, texts: Mapping[int, str], stages: int) -> dict[str, Any]:
    members: list[dict[str, Any]] = [{} for _ in range(stages)]
    links = {}
    for shard, text in texts.items():
        saved = lgb.Booster(model_str=text)
        links[str(shard)] = Link.of(saved).json()
        for stage, part in enumerate(cut(saved, stages)):
            if part is not None:
                members[stage][str(shard)] = _write(stage_file(folder, stage, shard), part)
    return {"stages": members, "links": links}


def _refuse_misfit(booster: lgb.Booster, encoding: Encoding, *, where: str) -> None:
    """Refuse a booster that would be asked with other columns than it was trained on.

    Raises:
        SettingError: In what they differ.
    """
    if not isinstance(booster, lgb.Booster):
        raise SettingError(
            f"{where}: is a {type(booster).__name__}, not a lightgbm.Booster; of LightGBM's scikit-learn models it is `booster_`"
        )
    names, known = booster.feature_name(), list(encoding.types)
    if len(names) != len(known):
        raise SettingError(f"{where}: was trained on {len(names)} features, the encoding has {len(known)}")
    if names != known and names != [f"Column_{position}" for position in range(len(names))]:  # so LightGBM names those of a plain matrix
        first = next(position for position, name in enumerate(known) if names[position] != name)
        raise SettingError(
            f"{where}: its feature {first} is {names[first]}, the encoding's {known[first]}; give the encoding's types in its order"
        )
    if not booster.num_trees():
        raise SettingError(f"{where}: has no trees")
    numbered = booster.pandas_categorical or []  # of each categorical column of a pandas frame, its values by their number
    if numbered and numbered != [list(encoding.categories[name]) for name in known if name in encoding.categories]:
        raise SettingError(
            f"{where}: was trained on a pandas frame and numbers the values of its {len(numbered)} categorical columns as `pandas_categorical` says, the "
            f"encoding otherwise; give each string feature those values in that order (Encoding(types=…, categories=…)), or train on encoding.matrix(rows)"
        )


def _write(path: Path, text: str) -> dict[str, Any]:
    """What the manifest says of the file."""
    content = text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
