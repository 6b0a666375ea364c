"""A request is answered with the same bytes, or refused for the same reason, whatever it came as: Avro, JSON, the row of a table, or an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from inference.online.redis.connection import Client
from inference.scorer import Scorer
from schemas.errors import DataError
from schemas.wire import encode
from tests import shop
from tests.inference.test_scorer import AS_OF, fill, scorer

COLUMNS: dict[str, pa.DataType] = {
    "request_id": pa.string(),
    "event_time": pa.timestamp("ms", tz="UTC"),
    "user": pa.string(),
    "shop": pa.int64(),
    "shelf": pa.string(),
    "price": pa.float64(),
    "colour": pa.string(),
}
GOOD: dict[str, Any] = {"request_id": "r", "event_time": AS_OF, "user": "ann", "shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}
REQUESTS = [
    GOOD | {"request_id": "r0"},
    GOOD | {"request_id": "r1", "user": None},
    GOOD | {"request_id": "r2", "price": float("nan")},
    GOOD | {"request_id": "r3", "user": "nobody", "shop": 8, "price": -0.0, "colour": "ünseen"},
    GOOD | {"request_id": "r4", "event_time": 1 << 60},
    GOOD | {"request_id": "r5", "event_time": -(1 << 52)},
    GOOD | {"request_id": "r6", "shelf": ""},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.train(tmp_path_factory.mktemp("models") / "buy")


@pytest.fixture
def job(client: Client, model: Path) -> Scorer:
    fill(client)
    return scorer(client, model)


def table_of(requests: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([each[name] for each in requests], type=type_) for name, type_ in COLUMNS.items()})


def avro(request: dict[str, Any]) -> bytes:
    return encode(shop.schemas().current("offer"), request)


def test_rows_of_a_table_are_answered_as_the_records_in_avro(job: Scorer) -> None:
    bodies = job.answer([avro(request) for request in REQUESTS])
    assert [reason and reason.split(":")[0] for reason in bodies.reasons] == [
        None,
        None,
        "non-finite",
        None,
        "future",
        "out-of-range",
        None,
    ]
    assert job.answer_table(table_of(REQUESTS)) == bodies


def test_columns_may_come_in_any_order_in_chunks_and_beside_others(job: Scorer) -> None:
    table = table_of(REQUESTS)
    chunked = (
        pa.concat_tables([table.slice(0, 2), table.slice(2)]).select(table.column_names[::-1]).append_column("more", pa.nulls(len(table)))
    )
    dictionary = chunked.set_column(0, "colour", chunked["colour"].dictionary_encode())
    assert job.answer_table(dictionary) == job.answer_table(table)
    assert job.answer_table(table.slice(0, 0)) == job.answer([])


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: str(request["request_id"]))
def test_an_object_is_answered_as_its_record_and_as_its_text(job: Scorer, request_: dict[str, Any]) -> None:
    one = job.answer_one(request_)
    assert one == job.answer([avro(request_)])
    assert one == job.answer([json.dumps(request_).encode()])


def test_no_table_is_made_of_records(job: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = job.answer([avro(request) for request in REQUESTS])
    for name in ("table", "RecordBatch", "record_batch", "chunked_array"):
        monkeypatch.setattr(pa, name, None)
    assert job.answer([avro(request) for request in REQUESTS]) == expected
    assert job.answer_one(REQUESTS[0]).values == expected.values[:1]


def test_an_object_is_refused_as_its_text(job: Scorer) -> None:
    for change in ({"event_time": None}, {"shop": "7"}, {"shop": 1.5}, {"price": "x"}, {"event_time": "yesterday"}, {"colour": 3}):
        wrong = GOOD | change
        refused = job.answer_one(wrong)
        assert refused.reasons[0] is not None
        assert refused == job.answer([json.dumps(wrong).encode()])
    without = {name: value for name, value in GOOD.items() if name != "shelf"}
    assert job.answer_one(without).reasons == ['missing: field "shelf"']


def test_a_null_that_a_field_does_not_allow_costs_its_row_only(job: Scorer) -> None:
    answers = job.answer_table(table_of([GOOD, GOOD | {"shop": None}, GOOD | {"event_time": None}, GOOD | {"request_id": None}]))
    assert answers.reasons == [None, *(f'missing: field "{name}" is null' for name in ("shop", "event_time", "request_id"))]
    assert answers.values[0] == job.answer_one(GOOD).values[0]


def test_a_table_of_another_shape_is_refused_whole(job: Scorer) -> None:
    wrong = table_of([GOOD]).drop_columns("shelf").set_column(3, "shop", pa.array(["7"]))
    with pytest.raises(DataError, match='column "shop" is string; expected int64; column "shelf" is missing'):
        job.answer_table(wrong)
