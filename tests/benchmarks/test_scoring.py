"""What the benchmarks of scoring hand to the peers, and how their answers are looked at."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastavro import schemaless_writer

from benchmarks import services
from benchmarks.benchmark import WrongAnswerError
from benchmarks.scoring import inputs, plain
from benchmarks.works.latency import arrivals, batches, over_http
from benchmarks.works.score_parts.parts import PARTS
from infra.settings import Settings
from schemas.schema import SchemaSet


def served(rows: list[tuple[str, str]]) -> pa.Table:
    """What a store might serve: card features tell the card, merchant features the merchant, those of a pair both."""
    columns: dict[str, list[object]] = {"card": [card for card, _ in rows], "merchant": [merchant for _, merchant in rows]}
    for view in inputs.service().views:
        keys = [column.name for column in view.keys]
        for feature in view.features:
            columns[feature.name] = [
                sum(int(row[("card", "merchant").index(key)][1:]) * (1 if key == "card" else 100) for key in keys) for row in rows
            ]
    return pa.table(columns)


def test_plain_values_are_those_that_were_served_once_for_each_entity() -> None:
    found = plain.values(inputs.service(), served([("c1", "m1"), ("c2", "m1"), ("c1", "m1"), ("c1", "m2")]))
    assert found["card_activity"].select(["card", "card_large_3h"]).to_pylist() == [
        {"card": "c1", "card_large_3h": 1},
        {"card": "c2", "card_large_3h": 2},
    ]
    assert found["merchant_activity"]["merchant_large_1h"].to_pylist() == [100, 200]
    assert found["card_at_merchant_activity"]["pair_large_3h"].to_pylist() == [101, 102, 201]
    every = [name for table in found.values() for name in table.column_names if name not in ("card", "merchant")]
    assert every == list(inputs.service().feature_types)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.3, 0.4], None),
        ([0.3, np.nextafter(0.4, 1.0)], "scores that are not the model's"),
        ([0.3, np.nan], "1 of 2 requests have no score"),
        (None, "no request was answered"),
    ],
)
def test_an_answer_over_http_is_the_score_of_its_own_request(tmp_path: Path, scores: list[float] | None, why: str | None) -> None:
    truth = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    if scores is not None:
        np.savez(tmp_path / "asked-2.npz", waited=np.zeros(2), scores=np.array(scores))
    if why is None:
        over_http.right(tmp_path, truth)
        return
    with pytest.raises(WrongAnswerError, match=why):
        over_http.right(tmp_path, truth)


def test_a_batch_is_told_when_flink_has_told_all_and_of_what_is_new_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([(0, 0), (7, 5), (10, 10), (10, 10), (90, 13), (110, 15)])
    monkeypatch.setattr(batches, "_POLL_S", 0.0)
    monkeypatch.setattr(services, "counted", lambda settings, job, names: dict(zip(names, next(told), strict=True)))
    found = batches.Batches(Settings(), "a job")
    assert found.requests_per_batch(10) == 1.0
    assert found.requests_per_batch(110) == 20.0


def test_the_legs_of_a_prediction_add_up_to_its_wait() -> None:
    schema = dict(SchemaSet.load(inputs.SCHEMAS).current("prediction").avro)
    blank: dict[str, object] = {"string": "", "int": 0, "double": 0.5, "boolean": False, "long": 0}
    record = {each["name"]: blank.get(each["type"] if isinstance(each["type"], str) else "") for each in schema["fields"]}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    record |= {"scores": [], "features": {}, "request": {}, "unseen": [], "event_time": now, "scored_at": now}
    body = io.BytesIO(bytes(10))
    body.seek(10)
    schemaless_writer(body, schema, record)
    found = arrivals.Arrivals(wanted=range(1, 2))
    for number, came in ((0, 0.0), (1, 0.045), (1, 0.9)):  # what is delivered again does not count
        found.take(number, now.timestamp() + came, body.getvalue(), int(now.timestamp() * 1000) + 5)
    due = np.array([now.timestamp() - 0.02])
    assert found.waited(1, 1) - due == pytest.approx([0.065])
    legs = found.legs(due)
    assert [round(legs[f"{leg}_p99_seconds"], 6) for leg in arrivals.LEGS] == [0.02, 0.005, 0.04]
    assert found.bodies() == [body.getvalue()]


def test_every_part_that_is_timed_is_there() -> None:
    assert [name for functions in PARTS.values() for owner, name in functions if not callable(getattr(owner, name, None))] == []
