"""The kit as a team uses it: what counts, what does not, and how misuse is told."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features import Count, Entity, FeatureService, FeatureView, Lifetime, Source, Sum
from features.testing import heartbeat, load, replay
from features.testing.gate import FUTURE_SKEW_MS
from infra.settings import Settings
from schemas.errors import DataError, DefinitionError, SettingError

EVERY = Path(__file__).parents[1] / "every"
TIME = {"type": "long", "logicalType": "timestamp-millis"}
FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "event_time", "type": TIME},
    {"name": "card", "type": ["null", "string"], "default": None},
    {"name": "amount", "type": "double"},
    {"name": "currency", "type": "string", "default": "EUR"},
]
minute, hour = timedelta(minutes=1), timedelta(hours=1)
payments = Source(topic="payments", schema="payment", lateness=minute, id="id", dedupe=hour)
refunds = Source(topic="refunds", schema="payment")
questions = Source(topic="questions", schema="payment", id="id")
card = Entity(keys=["card"])
card_activity = FeatureView(
    entity=card,
    source=payments,
    tile=5 * minute,
    features={"spend_1h": Sum("amount").over(hour), "count_1h": Count().over(hour), "ever": Lifetime(Count())},
)
card_refunds = FeatureView(entity=card, source=refunds, tile=minute, features={"refunds_1h": Count().over(hour)})


def refund_share(refunds_1h: NDArray[np.float64], count_1h: NDArray[np.float64]) -> NDArray[np.float64]:
    return refunds_1h / count_1h


fraud = FeatureService(
    request=questions,
    views=[card_activity, card_refunds],
    request_features={"large": "amount > 100", "hour": "HOUR(event_time)"},
    derived={"refund_share": refund_share},
)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "payment.avsc").write_text(json.dumps({"type": "record", "name": "payment", "fields": FIELDS}))
    return folder


def pay(at: str, amount: Any = 5.0, id_: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id_ or at, "card": "a", "amount": amount, "event_time": f"2026-01-05T{at}Z"} | fields


def at(clock: str) -> str:
    return f"2026-01-05T{clock}Z"


def test_features_as_of_an_instant(schemas: Path) -> None:
    seen = replay(card_activity, [pay("10:00"), pay("10:04", 7.0), pay("10:04", 1.0, "other", card="b")], schemas=schemas)
    assert seen.as_of(at("10:10"), card="a") == {"spend_1h": 12.0, "count_1h": 2, "ever": 2}
    assert seen.as_of(datetime(2026, 1, 5, 10, 5, tzinfo=UTC), card="a")["count_1h"] == 0  # the tile is not closed at 10:05, less the delay
    assert (seen.late, seen.repeats, seen.dead_letters) == ([], [], [])


def test_a_key_that_goes_silent_decays(schemas: Path) -> None:
    seen = replay(card_activity, [pay("10:00")], schemas=schemas)
    assert seen.as_of(at("18:00"), card="a") == {"spend_1h": 0.0, "count_1h": 0, "ever": 1}
    assert seen.as_of(at("18:00"), card=None) == seen.as_of(at("18:00"), card="nobody") == {"spend_1h": 0.0, "count_1h": 0, "ever": 0}


def test_an_event_is_late_from_the_millisecond_at_which_its_tile_closes(schemas: Path) -> None:
    old = pay("10:04", id_="old")
    for clock, late in (("10:05:59.998", []), ("10:05:59.999", [old])):
        seen = replay(card_activity, [pay(clock, 1.0), old], schemas=schemas)
        assert seen.late == late
        assert seen.as_of(at("10:30"), card="a")["count_1h"] == 2 - len(late)


def test_one_row_given_twice_counts_once_and_the_smallest_copy_stays(schemas: Path) -> None:
    row = pay("10:00", 5.0)
    seen = replay(card_activity, [row, row, pay("10:00", 3.0), pay("10:01")], schemas=schemas)
    assert seen.repeats == [row, row]
    assert seen.as_of(at("10:30"), card="a")["spend_1h"] == 8.0


def test_a_copy_that_comes_too_late_is_late_and_no_repeat(schemas: Path) -> None:
    copy = pay("10:00", 1.0)
    seen = replay(card_activity, [pay("10:00", 5.0), pay("10:30"), copy], schemas=schemas)
    assert (seen.late, seen.repeats) == ([copy], [])
    assert seen.as_of(at("10:20"), card="a")["spend_1h"] == 5.0


def test_what_is_served_waits_for_the_watermark(schemas: Path) -> None:
    rows: list[Any] = [pay("10:00"), pay("10:07")]
    seen = replay(card_activity, rows, schemas=schemas)
    assert (seen.watermark, seen.frontier) == tuple(datetime(2026, 1, 5, 10, m, tzinfo=UTC) for m in (6, 5))
    served = seen.served(at("10:12"), card="a")
    assert (served.features["count_1h"], served.stale, served.age) == (1, True, 5 * minute)
    assert seen.as_of(at("10:12"), card="a")["count_1h"] == 2
    closed = replay(card_activity, [*rows, heartbeat(at("10:11"))], schemas=schemas)
    served = closed.served(at("10:12"), card="a")
    assert (served.features["count_1h"], served.stale, served.age) == (2, False, timedelta(0))
    assert (seen.stale(at("10:12")), closed.stale(at("10:12"))) == (True, False)


def test_nothing_is_served_before_there_is_an_event(schemas: Path) -> None:
    seen = replay(card_activity, [], schemas=schemas)
    assert (seen.watermark, seen.frontier, seen.served(at("10:00"), card="a").age) == (None, None, None)
    assert seen.as_of(at("10:00"), card="a")["count_1h"] == 0


def test_a_refused_row_is_an_error_or_a_dead_letter(schemas: Path) -> None:
    rows: list[Any] = [pay("10:00"), pay("10:01", "much"), pay("10:02", float("nan")), b"\x07", pay("10:03", event_time="2026-01-05T10:03")]
    with pytest.raises(DataError) as refused:
        replay(card_activity, rows, schemas=schemas)
    assert str(refused.value).splitlines()[0] == (
        'source_1[1]: wrong-type: field "amount": expected float64, got string; dead_letters="keep" takes it for a dead letter'
    )
    seen = replay(card_activity, rows, schemas=schemas, dead_letters="keep")
    assert [letter.row for letter in seen.dead_letters][:3] == rows[1:4]
    assert [letter.reason.partition(":")[0] for letter in seen.dead_letters] == ["wrong-type", "non-finite", "unknown-format", "wrong-type"]
    assert seen.as_of(at("10:30"), card="a")["count_1h"] == 1


def test_a_time_ahead_of_the_clock_is_refused_where_a_test_has_one(schemas: Path) -> None:
    rows = [pay("10:00"), pay("10:06")]
    assert replay(card_activity, rows, schemas=schemas).dead_letters == []
    (letter,) = replay(card_activity, rows, schemas=schemas, now=at("10:00"), dead_letters="keep").dead_letters
    assert letter.reason.startswith("future: ")


def test_misspelt_fields_are_told_all_at_once(schemas: Path) -> None:
    rows = [pay("10:00", crad="a"), pay("10:01"), pay("10:02", currancy="EUR", extra=object())]
    with pytest.raises(DataError) as misspelt:
        replay(card_activity, rows, schemas=schemas)
    assert str(misspelt.value).splitlines() == [
        'source_1[0]: schema "payment" has no field "crad"; did you mean "card"?',
        'source_1[2]: schema "payment" has no field "currancy"; did you mean "currency"?',
    ]
    with pytest.raises(DataError, match=r"^source_1\[0\]: object .* is no value of a record; allowed are"):
        replay(card_activity, [pay("10:00", object())], schemas=schemas)


def test_a_table_is_read_as_publish_reads_it(schemas: Path) -> None:
    times = pa.array([datetime(2026, 1, 5, 10, minute_, tzinfo=UTC) for minute_ in (0, 20, 1)], pa.timestamp("us", tz="UTC"))
    table = pa.table(
        {"id": ["1", "2", "3"], "event_time": times, "card": pa.array(["a", "a", "a"]).dictionary_encode(), "amount": [1, 2, 3]}
    )
    seen = replay(card_activity, table, schemas=schemas)
    assert seen.as_of(at("11:00"), card="a")["spend_1h"] == 3.0
    assert [row["id"] for row in seen.late if not isinstance(row, bytes)] == ["3"]
    with pytest.raises(DataError, match='source_1: column "amount" is missing'):
        replay(card_activity, table.drop_columns(["amount"]), schemas=schemas)


def test_a_service_answers_request_features_views_and_derived_ones(schemas: Path) -> None:
    seen = replay(fraud, {payments: [pay("10:00"), pay("10:02")], refunds: [pay("10:01")]}, schemas=schemas)
    answer = seen.as_of(at("10:30"), card="a", amount=200)
    assert list(answer.items())[:2] == [("large", True), ("hour", 10)]
    assert (answer["count_1h"], answer["refunds_1h"], answer["refund_share"]) == (2, 1, 0.5)
    assert seen.as_of(at("10:30"), card="b", amount=1.0)["refund_share"] is None
    assert seen.watermark == datetime(2026, 1, 5, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, 'as of 2026-01-05T10:30:00.000Z: service "service": missing: field "amount"; it is asked by card, amount'),
        ({"amount": "1"}, 'service "service": wrong-type: field "amount": expected float64, got string'),
        ({"amount": float("inf")}, 'service "service": non-finite: field "amount"'),
        ({"amount": 1.0, "crad": "a"}, 'service "service" is not asked by "crad"; did you mean "card"?'),
    ],
)
def test_a_wrong_question_is_told_in_a_line(schemas: Path, asked: dict[str, Any], told: str) -> None:
    seen = replay(fraud, {}, schemas=schemas)
    with pytest.raises(SettingError) as wrong:
        seen.as_of(at("10:30"), **asked)
    assert told in str(wrong.value) and "\n" not in str(wrong.value)


def test_wrong_names_are_met_with_a_guess() -> None:
    harness = load(EVERY / "definitions", EVERY / "schemas")
    with pytest.raises(SettingError, match='no view or service is named "user_spendin"; did you mean "user_spending"'):
        harness.replay("user_spendin", [])
    with pytest.raises(SettingError, match='"buy" reads no source "event"; did you mean "events"'):
        harness.replay("buy", {"event": []})
    with pytest.raises(SettingError, match='"flight_delay" reads departures, arrivals; give the events of each'):
        load().replay("flight_delay", [])


def test_a_definition_that_cannot_be_compiled_is_told_as_the_compiler_tells_it(schemas: Path) -> None:
    wrong = FeatureView(entity=card, source=payments, tile=minute, features={"spend": Sum("amuont").over(hour)})
    with pytest.raises(DefinitionError, match=r'view\.spend: .*"amuont".*did you mean "amount"'):
        replay(wrong, [], schemas=schemas)


def test_records_in_an_envelope_are_given_as_they_are_or_wrapped(schemas: Path) -> None:
    for kind, wrapped in (("connect", {"schema": None, "payload": pay("10:00")}), ("debezium", {"op": "c", "after": pay("10:00")})):
        source = Source(topic="payments", schema="payment", envelope=kind)  # type: ignore[arg-type]
        view = FeatureView(entity=card, source=source, tile=minute, features={"count_1h": Count().over(hour)})
        assert replay(view, [pay("10:00"), wrapped], schemas=schemas).as_of(at("10:30"), card="a") == {"count_1h": 2}


def test_nothing_heavy_is_imported() -> None:
    heavy = ("pyflink", "pyspark", "confluent_kafka", "redis", "pandas", "feast", "yaml")
    script = f"import sys, features.testing; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_only_events_of_the_view_count(schemas: Path) -> None:
    view = FeatureView(
        entity=card, source=payments, tile=minute, where="currency = 'EUR'", features={"large_1h": Count(where="amount > 6").over(hour)}
    )
    rows = [pay("10:00", 7.0), pay("10:01", 5.0), pay("10:02", 7.0, currency="USD"), pay("10:03", 7.0, card=None)]
    seen = replay(view, rows, schemas=schemas)
    assert seen.as_of(at("10:30"), card="a") == {"large_1h": 1}
    assert seen.views["view"].tiles.num_rows == 2


def test_messages_of_a_topic_are_rows_too(schemas: Path) -> None:
    seen = replay(card_activity, [json.dumps(pay("10:00")).encode()], schemas=schemas)
    assert seen.as_of(at("10:30"), card="a")["count_1h"] == 1


def test_every_aggregation_of_the_vocabulary_has_an_answer() -> None:
    harness = load(EVERY / "definitions", EVERY / "schemas")
    row = {
        "id": "1",
        "event_time": at("10:00"),
        "user": "u",
        "shop": 1,
        "amount": 4.0,
        "items": 2,
        "paid": True,
        "colour": "red",
        "wild": 0.0,
    }
    seen = harness.replay("buy", [row | {"shipped": at("09:30"), "discount": None}])
    answer = seen.as_of(at("10:30"), user="u", shop=1, price=3.0, colour="red")
    assert list(answer) == list(harness.plan.services["buy"].feature_types)
    assert {name: answer[name] for name in ("cheap", "item_price_mean_1h", "shipped_hour_last_1h", "colour_top_1h_1", "ids_1h")} == {
        "cheap": True,
        "item_price_mean_1h": 2.0,
        "shipped_hour_last_1h": 9,
        "colour_top_1h_1": "red",
        "ids_1h": 1,
    }
    assert (answer["paid_share_1h"], answer["amounts_1h_1"], answer["amount_var_1h"], answer["paid_ratio"]) == (1.0, 4.0, None, 0.0)


def test_a_clock_allows_what_the_jobs_allow() -> None:
    assert Settings.future_skew_ms == FUTURE_SKEW_MS
