"""What whoever answers a service's requests holds, in one process or in several: the plan, which model, where the store is. No engine is needed for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from features.plan import ServicePlan
from features.versions.data_version import CodeVersion
from inference.model.loading import load, load_for
from inference.model.manifest import Manifest
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from inference.predict import Model
from inference.prediction import PredictionEncoder, id_field
from inference.scorer import Scorer
from inference.shards.stage import Stage
from inference.stages import FirstStage, LaterStage, check_stages, load_stage
from schemas.avro_writer import prepare
from schemas.machine_code import keep_in
from schemas.schema import SchemaSet
from schemas.wire import Decoder


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """A service and the model that answers it, as they were when the answering began. Picklable: nothing is loaded or opened before it is asked for.

    Attributes:
        service: Whose requests are answered.
        schemas: All.
        store: Address of the online store; one with a password as `file:` and the path of a file, since all of this goes into job graphs.
        model: Folder of the model.
        version: The model's; another one that has taken its place is refused.
        code: The code's.
        shard_memory_bytes: For the shards that a process holds at a time.
        machine_code: Folder that keeps what a process compiles for the next; None: nothing is kept.
    """

    service: ServicePlan
    schemas: SchemaSet
    store: str = field(repr=False)
    model: Path
    version: str
    code: CodeVersion
    shard_memory_bytes: int
    machine_code: Path | None = None

    def checked(self) -> tuple[Manifest, Model]:
        """What the first process holds of the model, once every file of the model was loaded.

        Raises:
            SettingError: It is no model's folder, or holds another version, or a model that was made for another service or other definitions.
            DataError: A file is damaged.
        """
        keep_in(self.machine_code)
        if Manifest.read(self.model).stages:
            check_stages(self.service, self.model, shard_memory_bytes=self.shard_memory_bytes)
            return self.first()
        loaded = load_for(self.service, self.model, shard_memory_bytes=self.shard_memory_bytes)
        return loaded.manifest, loaded

    def first(self) -> tuple[Manifest, Model]:
        """What the first process holds of the model: all of it, or its first trees where it is cut by them.

        Raises:
            SettingError, DataError: As of `checked`, of what is loaded.
        """
        keep_in(self.machine_code)
        if Manifest.read(self.model).stages:
            manifest, stage = self._stage(0)
            return manifest, FirstStage(manifest=manifest, stage=stage)
        loaded = load(self.model, version=self.version, shard_memory_bytes=self.shard_memory_bytes)
        return loaded.manifest, loaded

    def scorer(self, manifest: Manifest, model: Model, decoder: Decoder) -> Scorer:
        """What answers requests in the first process.

        Args:
            manifest: Of the model.
            model: What the process holds of it, from `first`.
            decoder: Of the requests.

        Raises:
            SettingError: The service's requests have no id, or the store's address is none.
        """
        id_field(self.service)
        keep_in(self.machine_code)
        prepare()
        reader = OnlineReader(self.service, connect(self.store))
        return Scorer(service=self.service, decoder=decoder, reader=reader, model=model, encoder=self._encoder(manifest))

    def later(self, number: int) -> LaterStage:
        """What a later process does, of a model that is cut by its trees.

        Args:
            number: Of its stage, from 1.

        Raises:
            SettingError, DataError: As of `load_stage`.
        """
        keep_in(self.machine_code)
        prepare()
        manifest, stage = self._stage(number)
        return LaterStage(stage=stage, shape=manifest.shape, encoder=self._encoder(manifest))

    def _stage(self, number: int) -> tuple[Manifest, Stage]:
        return load_stage(self.model, number, version=self.version, shard_memory_bytes=self.shard_memory_bytes)

    def _encoder(self, manifest: Manifest) -> PredictionEncoder:
        return PredictionEncoder(
            schema=self.schemas.current("prediction"),
            service=self.service.name,
            service_version=self.service.fingerprint,
            model=manifest.name,
            model_version=manifest.version,
            data_version=manifest.data_version,
            code_version=str(self.code),
        )
