"""Registers a plan in Feast, so that any Feast client with Tidemark installed reads the same features from the same bytes.

`get_online_features` needs the entity's keys and `as_of_ms` in every row; times are int64 ms since the epoch, since Feast's own
hold whole seconds. The answer carries no staleness: a row is exact where the feature of `<view>__frontier` is at the end of its windows or later, and
that of `<view>__since` (null: complete since the beginning; the largest int64: of no time yet) at the begin of its longest window or before. The registry
file holds code: whoever can write it can run code in every client that reads it.
"""

from __future__ import annotations

import pickle
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features.compiler.feast import AS_OF, FRONTIER, OLDER, REQUEST, SINCE, TILES, feast_type, join_keys
from features.plan import Plan, ServicePlan, ViewPlan
from features.tiles.codec import ALL_TIME, TileCodec
from features.tiles.packed_fold import fold_in_numpy
from inference.online.active_generation import read_active
from inference.online.connection import connect
from inference.online.redis.address import StoreAddress
from inference.online.redis.refusals import telling
from schemas.errors import SettingError
from schemas.types import DataType
from schemas.wording import cause

if TYPE_CHECKING:
    from feast import FeatureStore

Inputs = Mapping[str, Sequence[Any]]


def registry(plan: Plan, *, redis: str, folder: Path, project: str | None = None) -> FeatureStore:
    """Apply every entity, view and service of a plan; safe to repeat. Importing Feast takes seconds.

    Args:
        plan: What the definitions declare.
        redis: `host:port` or a URL, as `StoreAddress` reads it; Feast gets all of it.
        folder: Where Feast's registry file is kept; created.
        project: Feast's project, a part of every key in Redis; None: of the generation that is served now.

    Raises:
        SettingError: The folder cannot be written; or the address is none, or cannot be said in Feast's notation.
        ServiceError: Redis does not answer.
    """
    store = feature_store(redis=redis, folder=folder, project=project)
    try:
        with warnings.catch_warnings(), telling(StoreAddress.parse(redis).where):
            # Its slow path is offline retrieval, and history is Spark's here; online, the folded values are tested against our reader's.
            warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
            store.apply(_objects(plan, folder))
    except OSError as error:
        raise SettingError(f"feast registry {folder}: {cause(error)}; name a folder that can be written") from error
    return store


def feature_store(*, redis: str, folder: Path, project: str | None = None) -> FeatureStore:
    """Feast over our Redis and registry file, no `feature_store.yaml` needed; arguments as of `registry`.

    It reads one generation of the store for as long as it is open: open it again after a `tidemark switch`.
    """
    with _unchecked():
        from feast import FeatureStore, RepoConfig

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"feast registry {folder}: {cause(error)}; name a folder that can be written") from error
    config = RepoConfig(
        project=read_active(connect(redis)).project if project is None else project,
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": StoreAddress.parse(redis).for_feast()},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Import Feast without the checks of types that it compiles into its classes, which is half of its start; who imported it before has them."""
    import typeguard

    def unchanged(target: Any = None, **_: Any) -> Any:
        return (lambda function: function) if target is None else target

    checked, typeguard.typechecked = typeguard.typechecked, unchanged
    try:
        yield
    finally:
        typeguard.typechecked = checked


def _objects(plan: Plan, folder: Path) -> list[Any]:
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, types

    def fields(columns: Mapping[str, DataType]) -> list[Any]:
        return [Field(name=name, dtype=getattr(types, feast_type(type_))) for name, type_ in columns.items()]

    def stored(name: str, keys: Mapping[str, DataType], value: DataType, description: str) -> Any:
        # Feast asks for a batch source; values come only from jobs/materialize, so no such file is ever read.
        source = FileSource(name=f"{name}__none", path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp")
        own = [entities[key] for key in keys]
        return FeatureView(
            name=name, entities=own, schema=fields({**keys, name: value}), source=source, ttl=timedelta(0), description=description
        )

    entities = {key.name: Entity(name=key.name, join_keys=[key.name], value_type=_value_type(key.type)) for key in join_keys(plan).values()}
    as_of = RequestSource(name=AS_OF, schema=fields({AS_OF: DataType.INT64}))
    objects: list[Any] = [*entities.values()]
    on_demand = {}
    for view in plan.views.values():
        keys = {key.name: key.type for key in view.keys}
        tiles = stored(TILES.format(view=view.name), keys, DataType.BYTES, f"packed tiles of {view.name}")
        older = stored(OLDER.format(view=view.name), keys, DataType.BYTES, f"older tiles of {view.name}")
        frontier = stored(FRONTIER.format(view=view.name), {}, DataType.INT64, f"time (ms) up to which {view.name} is complete")
        since = stored(SINCE.format(view=view.name), {}, DataType.INT64, f"time (ms) since when {view.name} is complete")
        outputs = {feature.name: feature.type for feature in view.features}
        on_demand[view.name] = _on_demand(view.name, fields(outputs), [tiles, older, frontier, as_of], _source("fold_rows", view))
        objects += [tiles, older, frontier, since, on_demand[view.name]]
    for service in plan.services.values():
        sources = [on_demand[view.name] for view in service.views]
        if service.request_features:
            name = REQUEST.format(service=service.name)
            outputs = {feature.name: feature.expression.type for feature in service.request_features}
            inputs: list[Any] = [RequestSource(name=name, schema=fields(_request_fields(service)))]
            request = _on_demand(name, fields(outputs), inputs, _source("compute_rows", service))
            objects.append(request)
            sources = [request, *sources]
        objects.append(FeatureService(name=service.name, features=sources, tags={"fingerprint": service.fingerprint}))
    return objects


def _value_type(type_: DataType) -> Any:
    from feast import ValueType

    return ValueType.INT64 if type_ is DataType.INT64 else ValueType.STRING


def _on_demand(name: str, schema: list[Any], sources: list[Any], source: str) -> Any:
    """An on-demand view in Python mode: pandas would turn integers with nulls into doubles."""
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.transformation.python_transformation import PythonTransformation
    from feast.transformation.udf_rehydrate import resolve_udf

    class Declared(PythonTransformation):
        """Feast would run the function on made-up bytes to guess the types that are declared anyway."""

        def infer_features(self, random_input: Any, singleton: bool | None = False) -> Any:
            return schema

    function = resolve_udf(udf_string=source)
    assert isinstance(function, FunctionType)
    return OnDemandFeatureView(
        name=name,
        schema=schema,
        sources=sources,
        mode="python",
        feature_transformation=Declared(udf=function, udf_string=source),
    )


def _request_fields(service: ServicePlan) -> dict[str, DataType]:
    """What request features read, without join keys: Feast hands those over anyway, and refuses to take a column as both."""
    keys = {key.name for view in service.views for key in view.keys}
    read = sorted({name for feature in service.request_features for name in feature.expression.columns})
    return {name: service.request.columns[name] for name in read if name not in keys}


def _source(body: str, plan: ViewPlan | ServicePlan) -> str:
    """The text of an on-demand view: Feast 0.67 keeps text and runs it in the client.

    (It would fall back to a pickle of the function, which the dill that Beam pins cannot read on Python 3.11.) The plan's
    fingerprint makes a changed definition a changed text, by which Feast tells them apart.
    """
    pickled = b64encode(pickle.dumps(plan)).decode()
    return f'''def on_demand(inputs):
    """{plan.name}, version {plan.fingerprint}."""
    from inference.feast_registry import {body}

    return {body}("{pickled}", inputs)
'''


@lru_cache(maxsize=256)
def _restored(pickled: str) -> Any:
    return pickle.loads(b64decode(pickled))


def fold_rows(pickled: str, inputs: Inputs) -> dict[str, list[Any]]:
    """The body of a view's on-demand view: packed tiles, older ones, frontier and as-of of each row → its features."""
    view: ViewPlan = _restored(pickled)
    rows = len(inputs[AS_OF])
    frontier = np.array([ALL_TIME[0] if value is None else value for value in inputs[FRONTIER.format(view=view.name)]], dtype=np.int64)
    wanted = view.boundary_ms(np.array(inputs[AS_OF], dtype=np.int64))
    boundary = view.complete_ms(wanted, frontier)
    codec, stored = TileCodec(view=view), (inputs[name.format(view=view.name)] for name in (TILES, OLDER))
    packed = [codec.joined(tiles or None, older or None) for tiles, older in zip(*stored, strict=True)]
    # In numpy: who asks Feast has no place of ours that keeps machine code, and would wait for it in each process.
    folded = fold_in_numpy(codec, packed, owner=np.arange(rows, dtype=np.int64), boundary_ms=boundary)
    return _named(view.name, {feature.name: _plain(folded.features[feature.name].arrow(feature.type)) for feature in view.features})


def compute_rows(pickled: str, inputs: Inputs) -> dict[str, list[Any]]:
    """The body of a service's request view: request fields of each row → its request features."""
    service: ServicePlan = _restored(pickled)
    read = sorted({name for feature in service.request_features for name in feature.expression.columns})
    table = pa.table({name: _column(inputs[name], service.request.columns[name]) for name in read})
    features = {feature.name: _plain(feature.expression.evaluate(table)) for feature in service.request_features}
    return _named(REQUEST.format(service=service.name), features)


def _named(view: str, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Under short and full names: in Python mode Feast does not add the prefix for `full_feature_names` itself."""
    return columns | {f"{view}__{name}": column for name, column in columns.items()}


def _column(values: Sequence[Any], type_: DataType) -> pa.Array[Any]:
    return pa.array(values, type=pa.int64()).cast(type_.arrow) if type_ is DataType.TIMESTAMP else pa.array(values, type=type_.arrow)


def _plain(column: pa.Array[Any]) -> list[Any]:
    """Python values, times as ms."""
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
