"""A model on disk and in memory: a folder with `manifest.json` and `model.txt` (LightGBM), and for a model by key `shards/<number>.txt`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.compiler.plan import ServicePlan
from features.data_version import KEY
from inference.booster import LOAD_DEADLINE_S, parse, predict, read, try_in_a_child
from inference.encoding import Encoding
from inference.scores import Scores
from inference.shards.boosters import Boosters, Member
from inference.shards.shard_map import KEY_TYPES, ShardMap
from inference.shards.sharded import Sharded
from schemas.errors import DataError, SettingError
from schemas.types import DataType

MODEL_FILE, MANIFEST_FILE, SHARDS_FOLDER = "model.txt", "manifest.json", "shards"
FORMAT = 1
SHARD_MEMORY_BYTES = 1 << 28
"""For the shards of a model in memory, where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may be asked. Not to be shared by threads, nor taken over a fork: load it where it is used.

    Attributes:
        name: The model's name.
        version: First 16 hex digits of the sha256 of the model file; of a model by key, of those of all its files and its shard map.
        service: The feature service that it was trained on.
        service_version: Fingerprint of its definitions then.
        encoding: Of the features.
        booster: The whole model.
        shards: The models that answer in its place, by key; None of a model in one piece.
        manifest: Everything that was recorded when it was trained.
    """

    name: str
    version: str
    service: str
    service_version: str
    encoding: Encoding
    booster: lgb.Booster = field(repr=False)
    shards: Sharded | None = None
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def data_version(self) -> str:
        """Digest of the data version that it was trained on; empty where its manifest tells none."""
        return str(self.manifest.get(KEY, {}).get("digest", ""))

    def predict(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float64]:
        """The whole model's score of every row, float64[rows]; columns are found by name, others passed over.

        Raises:
            DataError: A feature is missing, or of another type.
        """
        return predict(self.booster, self.encoding.matrix(table))

    def score(self, features: pa.Table, requests: pa.Table) -> Scores:
        """The answers to n requests, each by the shard whose key it has.

        Args:
            features: n rows; columns are found by name, others passed over.
            requests: n rows, with the fields of the shard key.

        Raises:
            SettingError: A shard's file is not there any more.
            DataError: It is damaged; or a feature is missing, or of another type.
        """
        if self.shards is None:
            return Scores.of_one(self.predict(features))
        return self.shards.score(self.encoding.matrix(features), requests, parent=self.booster)


def load_for(service: ServicePlan, folder: Path, *, shard_memory_bytes: int = SHARD_MEMORY_BYTES) -> LoadedModel:
    """Load the model that is to answer a service's requests, and each of its shards once.

    Raises:
        SettingError: As `load`; or it was made for another service or other definitions.
        DataError: As `load`, and of every shard.
    """
    loaded = load(folder, shard_memory_bytes=shard_memory_bytes)
    if loaded.service != service.name or loaded.service_version != service.fingerprint:
        made_for = f"service {loaded.service} version {loaded.service_version}"
        raise SettingError(
            f"{folder}: the model was made for {made_for}, but the definitions say {service.name} version {service.fingerprint}; train it again"
        )
    unknown = [name for name, type_ in loaded.encoding.types.items() if service.feature_types.get(name) is not type_]
    if unknown:
        raise SettingError(
            f"{folder}: the model needs {', '.join(unknown)}, which service {service.name} does not have in that type; train it again"
        )
    if loaded.shards is not None:
        refuse_key(service, loaded.shards.map.key, where=str(folder))
        for shard in loaded.shards.boosters.members:
            loaded.shards.boosters.of(shard)
    return loaded


def refuse_key(service: ServicePlan, key: Sequence[str], *, where: str) -> None:
    """Refuse a shard key that requests do not have.

    Raises:
        SettingError: Which field, and what is allowed.
    """
    allowed = [name for name, type_ in service.request.columns.items() if type_ in KEY_TYPES]
    for name in key:
        if name not in allowed:
            raise SettingError(
                f'{where}: shard key "{name}" is no string or whole number of {service.name}\'s requests; there are {", ".join(allowed)}'
            )


def load(
    folder: Path, *, version: str | None = None, deadline_s: float = LOAD_DEADLINE_S, shard_memory_bytes: int = SHARD_MEMORY_BYTES
) -> LoadedModel:
    """Load a model that was checked: manifest, sha256, then a child process that parses it, then this one. Shards follow when they are needed.

    Args:
        folder: Where it is.
        version: Which one a job was started with; any when None.
        deadline_s: For the child.
        shard_memory_bytes: For the shards that are in memory at a time.

    Raises:
        SettingError: There is no such folder, or it is no model's, or it holds another version; or a shard alone is larger than its memory.
        DataError: The manifest or the model file is damaged.
    """
    manifest = _manifest(folder)
    content = read(folder / MODEL_FILE, manifest["sha256"])
    found = _version(manifest["sha256"], manifest.get("shards"))
    if version not in (None, found):
        raise SettingError(f"{folder}: holds model version {found}, but the job was started with {version}; start it again")
    encoding = Encoding(
        types={str(feature["name"]): DataType(feature["type"]) for feature in manifest["features"]},
        categories={str(name): tuple(map(str, values)) for name, values in manifest["categories"].items()},
    )
    try_in_a_child(content, len(encoding.types), folder / MODEL_FILE, deadline_s=deadline_s)
    return LoadedModel(
        name=manifest["name"],
        version=found,
        service=manifest["service"],
        service_version=manifest["service_version"],
        encoding=encoding,
        booster=parse(content, folder / MODEL_FILE),
        shards=_sharded(folder, manifest, columns=len(encoding.types), memory_bytes=shard_memory_bytes),
        manifest=manifest,
    )


@dataclass(frozen=True, kw_only=True)
class TrainedShards:
    """Shards to be saved.

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


def save(folder: Path, booster: lgb.Booster, encoding: Encoding, *, record: Mapping[str, Any], shards: TrainedShards | None = None) -> str:
    """Write a model's files into a folder.

    Args:
        folder: Where; it is made when it is not there.
        booster: The trained model.
        encoding: Of its features.
        record: What else the manifest should say; `name`, `service` and `service_version` among it.
        shards: Of a model by key.

    Returns:
        The version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = None if shards is None else _save_shards(folder, shards)
    digest = _write(folder / MODEL_FILE, booster)
    version = _version(digest, said)
    manifest = {
        "format": FORMAT,
        **record,
        "version": version,
        "sha256": digest,
        "features": [{"name": name, "type": str(type_)} for name, type_ in encoding.types.items()],
        "categories": {name: list(values) for name, values in encoding.categories.items()},
        **({} if said is None else {"shards": said}),
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    return version


def _save_shards(folder: Path, shards: TrainedShards) -> dict[str, Any]:
    (folder / SHARDS_FOLDER).mkdir(exist_ok=True)
    members = []
    for shard, booster in sorted(shards.boosters.items()):
        path = _shard_file(folder, shard)
        digest = _write(path, booster)
        members.append({"shard": shard, "sha256": digest, "bytes": path.stat().st_size, **shards.records.get(shard, {})})
    return {"map": shards.map.json(), "members": members, "untrained": {str(shard): why for shard, why in shards.untrained.items()}}


def _write(path: Path, booster: lgb.Booster) -> str:
    """The sha256 of what was written."""
    content = booster.model_to_string().encode()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _shard_file(folder: Path, shard: int) -> Path:
    return folder / SHARDS_FOLDER / f"{shard}.txt"


def _version(digest: str, shards: Mapping[str, Any] | None) -> str:
    if shards is not None:
        parts = [digest, shards["map"], {str(member["shard"]): member["sha256"] for member in shards["members"]}]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return digest[:16]


def _sharded(folder: Path, manifest: Mapping[str, Any], *, columns: int, memory_bytes: int) -> Sharded | None:
    said = manifest.get("shards")
    if said is None:
        return None
    members = {
        member["shard"]: Member(path=_shard_file(folder, member["shard"]), sha256=member["sha256"], size_bytes=member["bytes"])
        for member in said["members"]
    }
    untrained = {int(shard): str(why) for shard, why in said["untrained"].items()}
    boosters = Boosters(members, columns=columns, budget_bytes=memory_bytes)
    return Sharded(map=ShardMap.parse(said["map"]), boosters=boosters, untrained=untrained)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise SettingError(
            f"{folder}: no model here; a model is a folder with {MODEL_FILE} and {MANIFEST_FILE}, as `tidemark train` writes it"
        )
    try:
        manifest = json.loads(path.read_text())
        if manifest["format"] != FORMAT:
            raise DataError(f"{path}: format {manifest['format']}; this version reads {FORMAT}")
        texts = [manifest[name] for name in ("name", "service", "service_version", "sha256")]
        types = {feature["name"]: DataType(feature["type"]) for feature in manifest["features"]}
        strings = {name for name, type_ in types.items() if type_ is DataType.STRING}
        if not all(isinstance(text, str) and text for text in texts):
            raise ValueError("name, service, service_version and sha256 must be texts")
        if set(manifest["categories"]) != strings or not all(isinstance(v, list) for v in manifest["categories"].values()):
            raise ValueError("categories are not those of the string features")
        if not isinstance(manifest.get(KEY, {}), dict):
            raise ValueError(f"{KEY} is no object")
        _refuse_shards(manifest.get("shards"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{path}: damaged: {type(fault).__name__}: {fault}; restore it, or train again") from None
    return dict(manifest)


def _refuse_shards(said: Any) -> None:
    """Raises what `_manifest` tells of as damage."""
    if said is None:
        return
    try:
        known = set(ShardMap.parse(said["map"]).shards)
    except SettingError as fault:
        raise ValueError(str(fault)) from None
    numbers = [member["shard"] for member in said["members"]]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= known or not {int(shard) for shard in said["untrained"]} <= known:
        raise ValueError("shards: members that are not the map's")
    if not all(isinstance(member["sha256"], str) and isinstance(member["bytes"], int) for member in said["members"]):
        raise ValueError("shards: sha256 must be texts, bytes whole numbers")
