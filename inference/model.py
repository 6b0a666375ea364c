"""A model on disk and in memory: a folder with `model.txt` (LightGBM) and `manifest.json`, checked before it is parsed.

A damaged LightGBM file more often kills the process than it raises. So its sha256 is compared first, and it is loaded first in a child.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lightgbm import libpath
from numpy.typing import NDArray

from features.compiler.plan import ServicePlan
from features.data_version import KEY
from inference import first_load
from schemas.errors import DataError, SettingError
from schemas.types import DataType

MODEL_FILE, MANIFEST_FILE = "model.txt", "manifest.json"
LOAD_DEADLINE_S = 60.0
"""For the child that loads a model first."""
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Features → the matrix that LightGBM sees: names and types in order, and a number for each known category.

    Attributes:
        types: Feature name → type, in the order of the columns.
        categories: For every string feature its known values; the position is the number. Others, and null, are missing.
    """

    types: Mapping[str, DataType]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, types: Mapping[str, DataType], table: pa.Table) -> Encoding:
        """The encoding of the categories that a training set has."""
        strings = [name for name, type_ in types.items() if type_ is DataType.STRING]
        found = {name: tuple(sorted(str(value) for value in pc.unique(table[name]).to_pylist() if value is not None)) for name in strings}
        return cls(types=types, categories=found)

    @property
    def categorical(self) -> list[int]:
        """The positions of the categorical columns."""
        return [position for position, name in enumerate(self.types) if name in self.categories]

    @cached_property
    def _known(self) -> dict[str, pa.Array[Any]]:
        return {name: pa.array(values, type=pa.string()) for name, values in self.categories.items()}

    def matrix(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float64]:
        """float64[rows, columns]; null is NaN, a boolean 0 or 1, a timestamp ms since the epoch.

        Raises:
            DataError: A feature is missing, or of a type that cannot be encoded.
        """
        missing = [name for name in self.types if name not in table.schema.names]
        if missing:
            raise DataError(f"features: no column {', '.join(missing)}; the model needs {', '.join(self.types)}")
        matrix = np.empty((table.num_rows, len(self.types)), dtype=np.float64)
        for position, (name, type_) in enumerate(self.types.items()):
            try:
                matrix[:, position] = self._numbers(table.column(name), name, type_)
            except pa.ArrowException as error:
                raise DataError(f'features: column "{name}" cannot be read as {type_}: {str(error).splitlines()[0]}') from error
        return matrix

    def _numbers(self, column: Any, name: str, type_: DataType) -> NDArray[np.float64]:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if type_ is DataType.STRING:
            column = pc.index_in(column.cast(pa.string()), value_set=self._known[name])
        elif type_ is DataType.TIMESTAMP:
            column = column.cast(type_.arrow).cast(pa.int64())
        elif type_ is DataType.BOOLEAN:
            column = column.cast(pa.bool_()).cast(pa.uint8())
        numbers = column.cast(pa.float64(), safe=False)
        filled: NDArray[np.float64] = (numbers.fill_null(float("nan")) if numbers.null_count else numbers).to_numpy(zero_copy_only=False)
        return filled


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may be asked. Not to be shared by threads, nor taken over a fork: load it where it is used.

    Attributes:
        name: The model's name.
        version: First 16 hex digits of the sha256 of the model file.
        service: The feature service that it was trained on.
        service_version: Fingerprint of its definitions then.
        encoding: Of the features.
        booster: LightGBM's model.
        manifest: Everything that was recorded when it was trained.
    """

    name: str
    version: str
    service: str
    service_version: str
    encoding: Encoding
    booster: lgb.Booster = field(repr=False)
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def data_version(self) -> str:
        """Digest of the data version that it was trained on; empty where its manifest tells none."""
        return str(self.manifest.get(KEY, {}).get("digest", ""))

    def predict(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float64]:
        """The score of every row, float64[rows]; columns are found by name, others passed over.

        Raises:
            DataError: A feature is missing, or of another type.
        """
        matrix = self.encoding.matrix(table)
        if not len(matrix):
            return np.empty(0, dtype=np.float64)
        # More threads make a small batch a hundred times slower.
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)


def load_for(service: ServicePlan, folder: Path) -> LoadedModel:
    """Load the model that is to answer a service's requests.

    Raises:
        SettingError: As `load`; or it was made for another service or other definitions.
        DataError: As `load`.
    """
    loaded = load(folder)
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
    return loaded


def load(folder: Path, *, version: str | None = None, deadline_s: float = LOAD_DEADLINE_S) -> LoadedModel:
    """Load a model that was checked: manifest, sha256, then a child process that parses it, then this one.

    Args:
        folder: Where it is.
        version: Which one a job was started with; any when None.
        deadline_s: For the child.

    Raises:
        SettingError: There is no such folder, or it is no model's, or it holds another version.
        DataError: The manifest or the model file is damaged.
    """
    manifest = _manifest(folder)
    try:
        content = (folder / MODEL_FILE).read_bytes()
    except OSError as fault:
        raise SettingError(f"{folder / MODEL_FILE}: cannot be read: {fault.strerror or fault}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest["sha256"]:
        raise DataError(
            f"{folder / MODEL_FILE}: damaged: its sha256 is {digest[:16]}…, the manifest says {manifest['sha256'][:16]}…; restore it, or train again"
        )
    if version not in (None, digest[:16]):
        raise SettingError(f"{folder}: holds model version {digest[:16]}, but the job was started with {version}; start it again")
    encoding = Encoding(
        types={str(feature["name"]): DataType(feature["type"]) for feature in manifest["features"]},
        categories={str(name): tuple(map(str, values)) for name, values in manifest["categories"].items()},
    )
    _load_in_a_child(content, len(encoding.types), folder / MODEL_FILE, deadline_s)
    try:
        booster = lgb.Booster(model_str=content.decode())
    except (ValueError, lgb.basic.LightGBMError) as fault:
        raise DataError(f"{folder / MODEL_FILE}: LightGBM cannot load it: {str(fault).splitlines()[0]}") from None
    return LoadedModel(
        name=manifest["name"],
        version=digest[:16],
        service=manifest["service"],
        service_version=manifest["service_version"],
        encoding=encoding,
        booster=booster,
        manifest=manifest,
    )


def save(folder: Path, booster: lgb.Booster, encoding: Encoding, *, record: Mapping[str, Any]) -> str:
    """Write a model's two files into a folder.

    Args:
        folder: Where; it is made when it is not there.
        booster: The trained model.
        encoding: Of its features.
        record: What else the manifest should say; `name`, `service` and `service_version` among it.

    Returns:
        The version.
    """
    content = booster.model_to_string().encode()
    digest = hashlib.sha256(content).hexdigest()
    manifest = {
        "format": FORMAT,
        **record,
        "version": digest[:16],
        "sha256": digest,
        "features": [{"name": name, "type": str(type_)} for name, type_ in encoding.types.items()],
        "categories": {name: list(values) for name, values in encoding.categories.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    return digest[:16]


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(f"{path}: damaged: {type(fault).__name__}: {fault}; restore it, or train again") from None
    return dict(manifest)


def _load_in_a_child(content: bytes, columns: int, path: Path, deadline_s: float) -> None:
    """Parse the model and score two rows in a fresh process, which may crash or hang as it likes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    library = libpath._LIB._name  # the very file that this process has loaded; there is no public name for it
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", first_load.__file__, library, str(columns)],
            input=content,
            capture_output=True,
            timeout=deadline_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{path}: not loaded within {deadline_s:g} s; the file is damaged, or this machine too busy") from None
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(f"{path}: LightGBM cannot load it (exit {child.returncode}): {said[-1] if said else 'it said nothing'}")
