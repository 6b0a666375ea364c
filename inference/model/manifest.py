"""What a model's folder says of itself: `manifest.json`, read and checked before any of the files that it names.

`model.txt` is the whole model (LightGBM); `shards/<n>.txt` those of a model by key; `stages/<k>/<n>.txt` the trees of stage k of one that is cut by them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from features.plan import ServicePlan
from features.versions.data_version import KEY
from inference.boosters.cache import Member
from inference.boosters.scores import WHOLE, Shape
from inference.boosters.trees import Link
from inference.model.encoding import Encoding
from inference.shards.shard_map import KEY_TYPES, PARENT, ShardMap
from schemas.errors import DataError, SettingError
from schemas.types import DataType
from schemas.wording import cause

MODEL_FILE, MANIFEST_FILE, SHARDS_FOLDER, STAGES_FOLDER = "model.txt", "manifest.json", "shards", "stages"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A model, but for its trees.

    Attributes:
        folder: Where it is.
        said: Everything that was recorded when it was trained.
        name: The model's name.
        service: The feature service that it was trained on.
        service_version: Fingerprint of its definitions then.
        sha256: Of `model.txt`.
        outputs: Scores of a request: 1, or as many as there are classes.
        encoding: Of the features.
        map: Of a model by key; None of one in one piece.
        shards: Shard → its file, of those that have a model.
        untrained: Shard → why it has none.
        stages: Of a model that is cut by its trees, for each stage: shard → its file, where it has trees there.
        links: Shard → what follows its last tree, of a model that is cut by them.
    """

    folder: Path
    said: Mapping[str, Any] = field(repr=False)
    name: str
    service: str
    service_version: str
    sha256: str
    outputs: int
    encoding: Encoding = field(repr=False)
    map: ShardMap | None = None
    shards: Mapping[int, Member] = field(default_factory=dict)
    untrained: Mapping[int, str] = field(default_factory=dict)
    stages: Sequence[Mapping[int, Member]] = ()
    links: Mapping[int, Link] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check it.

        Raises:
            SettingError: There is no such folder, or it is no model's.
            DataError: It is damaged, or of another format.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise SettingError(
                f"{folder}: no model here; a model is a folder with {MODEL_FILE} and {MANIFEST_FILE}, as `tidemark train` writes it"
            )
        try:
            said = json.loads(path.read_text())
            if said["format"] != FORMAT:
                raise DataError(f"{path}: format {said['format']}; this version reads {FORMAT}")
            return cls._of(folder, said)
        except OSError as fault:
            raise SettingError(f"{path}: cannot be read: {cause(fault)}") from None
        except (ValueError, KeyError, TypeError, AttributeError, SettingError) as fault:
            raise DataError(f"{path}: damaged: {type(fault).__name__}: {fault}; restore it, or train again") from None

    @classmethod
    def _of(cls, folder: Path, said: Mapping[str, Any]) -> Self:
        if not isinstance(said.get(KEY, {}), dict):
            raise ValueError(f"{KEY} is no object")
        shards, stages = said.get("shards") or {}, said.get("stages") or []
        manifest = cls(
            folder=folder,
            said=said,
            **{name: _text(said, name) for name in ("name", "service", "service_version", "sha256")},
            outputs=_outputs(said),
            encoding=_encoding(said),
            map=ShardMap.parse(shards["map"]) if shards else None,
            shards={
                number: member
                for each in shards.get("members", [])
                for number, member in [_member(each["shard"], each, shard_file(folder, each["shard"]))]
            },
            untrained={int(shard): str(why) for shard, why in shards.get("untrained", {}).items()},
            stages=[
                dict(_member(int(shard), each, stage_file(folder, stage, int(shard))) for shard, each in members.items())
                for stage, members in enumerate(stages)
            ],
            links={
                int(shard): Link(objective=each["objective"], average_over=int(each["average_over"]))
                for shard, each in said.get("links", {}).items()
            },
        )
        manifest._refuse_strangers()
        return manifest

    def _refuse_strangers(self) -> None:
        known = set(self.map.shards) if self.map is not None else set()
        if not {*self.shards, *self.untrained} <= known:
            raise ValueError("shards: members that are not the map's")
        answering = set(self.answering)
        if any(not set(stage) <= answering for stage in self.stages) or (self.stages and set(self.links) != answering):
            raise ValueError("stages: not those of the shards")

    @property
    def shape(self) -> Shape:
        """Of each of its files."""
        return Shape(columns=len(self.encoding.types), outputs=self.outputs)

    @property
    def answering(self) -> list[int]:
        """All that may answer a request: the shards that have a model and their parent, or the whole."""
        return [WHOLE] if self.map is None else [PARENT, *self.shards]

    @cached_property
    def version(self) -> str:
        """First 16 hex digits of the sha256 of the model file; of a model that is cut, of those of all its files and how it is cut."""
        if self.map is None and not self.stages:
            return self.sha256[:16]
        parts = [
            self.sha256,
            None if self.map is None else self.map.json(),
            *({str(shard): member.sha256 for shard, member in members.items()} for members in (self.shards, *self.stages)),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def data_version(self) -> str:
        """Digest of the data version that it was trained on; empty where nothing tells."""
        return str(self.said.get(KEY, {}).get("digest", ""))

    def refuse_another(self, version: str | None) -> None:
        """Refuse a model that has taken the place of the one that was checked.

        Raises:
            SettingError: It is not of that version; any is when None.
        """
        if version not in (None, self.version):
            raise SettingError(f"{self.folder}: holds model version {self.version}, but the job was started with {version}; start it again")

    def refuse_others(self, service: ServicePlan) -> None:
        """Refuse a model that was not made for a service as it is defined now.

        Raises:
            SettingError: For which one it was made, or what is missing.
        """
        if self.service != service.name or self.service_version != service.fingerprint:
            made_for = f"service {self.service} version {self.service_version}"
            raise SettingError(
                f"{self.folder}: the model was made for {made_for}, but the definitions say {service.name} version {service.fingerprint}; train it again"
            )
        unknown = [name for name, type_ in self.encoding.types.items() if service.feature_types.get(name) is not type_]
        if unknown:
            raise SettingError(
                f"{self.folder}: the model needs {', '.join(unknown)}, which service {service.name} does not have in that type; train it again"
            )
        if self.map is not None:
            refuse_key(service, self.map.key, where=str(self.folder))


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


def shard_file(folder: Path, shard: int) -> Path:
    """Of a model by key."""
    return folder / SHARDS_FOLDER / f"{shard}.txt"


def stage_file(folder: Path, stage: int, shard: int) -> Path:
    """Of a model that is cut by its trees."""
    return folder / STAGES_FOLDER / str(stage) / f"{'parent' if shard == PARENT else shard}.txt"


def _text(said: Mapping[str, Any], name: str) -> str:
    if not isinstance(said[name], str) or not said[name]:
        raise ValueError("name, service, service_version and sha256 must be texts")
    return str(said[name])


def _outputs(said: Mapping[str, Any]) -> int:
    if type(said["outputs"]) is not int or said["outputs"] < 1:
        raise ValueError("outputs must be a whole number, at least 1")
    return said["outputs"]


def _member(shard: Any, said: Mapping[str, Any], path: Path) -> tuple[int, Member]:
    if not isinstance(shard, int) or not isinstance(said["sha256"], str) or not isinstance(said["bytes"], int):
        raise ValueError("sha256 of a shard must be a text, its number and bytes whole numbers")
    return shard, Member(path=path, sha256=said["sha256"], size_bytes=said["bytes"])


def _encoding(said: Mapping[str, Any]) -> Encoding:
    types = {str(feature["name"]): DataType(feature["type"]) for feature in said["features"]}
    strings = {name for name, type_ in types.items() if type_ is DataType.STRING}
    if set(said["categories"]) != strings or not all(isinstance(values, list) for values in said["categories"].values()):
        raise ValueError("categories are not those of the string features")
    return Encoding(types=types, categories={str(name): tuple(map(str, values)) for name, values in said["categories"].items()})
