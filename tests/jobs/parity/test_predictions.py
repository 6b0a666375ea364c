"""Predictions on the wire become the table that the demo leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from features.catalog import load
from features.columns.block import Block, Columns
from features.columns.values import Values
from features.plan import ServicePlan
from inference.online.requests import Requests
from inference.prediction import PredictionEncoder, Unscored
from inference.prediction_table import schema_of
from jobs.parity.predictions import PredictionBatch, prediction_table
from schemas.errors import DataError
from schemas.schema import SHIPPED, SchemaSet
from schemas.types import DataType

EXAMPLES = {DataType.STRING: "EWR", DataType.INT64: 3, DataType.FLOAT64: 1.5, DataType.TIMESTAMP: 1_380_600_000_123}


@pytest.fixture(scope="module")
def service() -> ServicePlan:
    return load(None, None).services["flight_delay"]


@pytest.fixture(scope="module")
def schema_set() -> SchemaSet:
    return SchemaSet.load(SHIPPED)


def _encoded(service: ServicePlan, schema_set: SchemaSet, score: Sequence[Sequence[float]] = ((0.25,), (0.5,))) -> list[bytes]:
    request = Requests(service.request.columns, 2, {name: [EXAMPLES[type_]] * 2 for name, type_ in service.request.columns.items()})
    features = {
        name: Values.of(pa.array([EXAMPLES[type_], None], type=type_.arrow), type_) for name, type_ in service.feature_types.items()
    }
    encoder = PredictionEncoder(
        schema=schema_set.current("prediction"),
        service=service.name,
        service_version="v",
        model="m",
        code_version="0.1.0+0123456789ab",
        model_version="7",
        variant="champion",
    )
    times = np.array([1_380_600_000_123, 1_380_600_000_124], dtype=np.int64)
    made = Unscored(
        request_id=[b"a", b"b"],
        event_time_ms=times,
        shard=np.array([0, -1]),
        features=Block.of(Columns(types=service.feature_types), features, 2),
        request=request,
        frontier_ms=1_380_600_000_123,
        stale=np.array([False, True]),
        stale_age_ms=np.array([0, 5], dtype=np.int64),
        unseen={},
    )
    return encoder.records(made, np.array(score), scored_at_ms=1)


def test_the_columns_are_the_request_the_features_and_the_verdict_in_this_order(service: ServicePlan, schema_set: SchemaSet) -> None:
    table = prediction_table(service, schema_set, _encoded(service, schema_set))
    own = ["score", "model_version", "variant", "shard", "frontier", "stale"]
    request = [name for name in service.request.columns if name not in ("request_id", "event_time")]
    features = [name for name in service.feature_types if name not in request]
    assert table.column_names == ["request_id", "event_time", *request, *features, *own]
    assert table.schema.field("event_time").type == table.schema.field("frontier").type == pa.timestamp("ms", tz="UTC")
    assert {name: table.schema.field(name).type for name in service.feature_types} == {
        name: type_.arrow for name, type_ in service.feature_types.items()
    }


def test_values_survive_and_nulls_stay_null(service: ServicePlan, schema_set: SchemaSet) -> None:
    first, second = prediction_table(service, schema_set, _encoded(service, schema_set)).to_pylist()
    assert first["event_time"].timestamp() == pytest.approx(1_380_600_000.123)
    assert (first["score"], first["stale"], second["stale"]) == (0.25, False, True)
    assert first["origin_dep_delay_mean_1h"] == 1.5
    assert second["origin_dep_delay_mean_1h"] is None


def test_of_several_classes_all_scores_are_told(service: ServicePlan, schema_set: SchemaSet) -> None:
    table = prediction_table(service, schema_set, _encoded(service, schema_set, [(0.25, 0.75), (0.5, 0.25)]))
    assert table["score"].to_pylist() == [0.75, 0.5]
    assert table["scores"].to_pylist() == [[0.25, 0.75], [0.5, 0.25]]
    assert table.schema == schema_of(service, several=True)


def test_what_is_no_prediction_is_refused(service: ServicePlan, schema_set: SchemaSet) -> None:
    with pytest.raises(DataError):
        prediction_table(service, schema_set, [b"\xc3\x01nonsense"])


def test_predictions_of_other_definitions_are_left_out_and_counted(service: ServicePlan, schema_set: SchemaSet) -> None:
    batch = PredictionBatch(service=service, schemas=schema_set, own_version_only=True)
    for body in _encoded(service, schema_set):
        batch.add(body)
    assert (batch.strangers, len(batch.table())) == (2, 0)


def test_a_prediction_without_a_feature_is_named(service: ServicePlan, schema_set: SchemaSet) -> None:
    fewer = replace(service, views=service.views[1:])
    (body, _) = _encoded(fewer, schema_set)
    with pytest.raises(DataError, match=r"^topic t 0/1: has no origin_departures_1h, .*made with other definitions of flight_delay$"):
        PredictionBatch(service=service, schemas=schema_set).add(body, where="topic t 0/1")
