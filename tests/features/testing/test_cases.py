"""Case files: what is wrong with them is told all at once, with its line; what does not hold, with both values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.testing import load
from features.testing.cases import read_cases
from features.testing.verdict import judge
from features.testing.yaml_document import read_document
from schemas.errors import DefinitionError, SettingError

EVERY = Path(__file__).parents[1] / "every"
FLIGHT = "{flight_id: a, event_time: 2013-10-01T10:01Z, carrier: UA, flight: 1, origin: EWR, dest: ORD, distance: 719, sched_dep: 2013-10-01T10:00Z, dep_delay: 1.5}"
VIEW = f"""
case:
  view: origin_departures
  events: [{FLIGHT}]
"""
SHIPPED = load()


def judged(text: str, folder: Path) -> list[str]:
    (folder / "cases.yaml").write_text(text)
    (case,) = read_cases(folder / "cases.yaml", SHIPPED)
    return judge(case)


def problems(text: str, folder: Path) -> list[str]:
    (folder / "cases.yaml").write_text(text)
    with pytest.raises(DefinitionError) as wrong:
        read_cases(folder, SHIPPED)
    return [line.replace(f"{folder}/", "") for line in wrong.value.problems]


def expecting(what: str) -> str:
    return f"{VIEW}  expect:\n    - {{as_of: 2013-10-01T10:30Z, keys: {{origin: EWR}}, {what}}}\n"


@pytest.mark.parametrize(
    "what",
    [
        "features: {origin_departures_1h: 1, origin_dep_delay_mean_1h: 1.5, origin_dep_delay_std_3h: null}",
        "features: {origin_dep_delay_mean_1h: 1.5000000000000002}",  # a sum of doubles may differ in its last bit
        "served: {origin_departures_1h: 0}, stale: true",
    ],
)
def test_what_holds_is_silent(what: str, tmp_path: Path) -> None:
    assert judged(expecting(what), tmp_path) == []


DAILY = """
from datetime import timedelta
from features import Count, FeatureView
from .sources import events, hour, user
day = timedelta(days=1)
v = FeatureView(entity=user, source=events, tile=hour, features={"exact": Count().over(2 * day), "daily": Count().over(2 * day, hop=day)})
"""
DAILY_CASE = """
from_midnight_on:
  view: v
  events:
    - {id: a, event_time: 2026-01-01T23:59:59.999Z, user: u, shop: 1, amount: 1, items: 1, paid: true, wild: 1}
    - {id: b, event_time: 2026-01-02T00:00Z, user: u, shop: 1, amount: 1, items: 1, paid: true, wild: 1}
    - {id: c, event_time: 2026-01-02T18:00Z, user: u, shop: 1, amount: 1, items: 1, paid: true, wild: 1}
    - {heartbeat: 2026-01-06T00:00Z}
  expect:
    - {as_of: 2026-01-03T23:59Z, keys: {user: u}, features: {exact: 3, daily: 3}, stale: false}
    - {as_of: 2026-01-04T18:59Z, keys: {user: u}, features: {exact: 1, daily: 2}, served: {daily: 2}}
    - {as_of: 2026-01-05T00:59Z, keys: {user: u}, features: {exact: 0, daily: 0}}
"""


def test_a_window_with_a_hop_is_judged_as_it_is_served(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "sources.py").write_text((EVERY / "definitions" / "sources.py").read_text())
    (tmp_path / "definitions" / "v.py").write_text(DAILY)
    (tmp_path / "cases.yaml").write_text(DAILY_CASE)
    (case,) = read_cases(tmp_path / "cases.yaml", load(tmp_path / "definitions", EVERY / "schemas"))
    assert judge(case) == []


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("features: {origin_departures_1h: 2}", "origin_departures_1h: expected 2, got 1"),
        ("features: {origin_dep_delay_max_3h: 1.5000000000000002}", "origin_dep_delay_max_3h: expected 1.5000000000000002, got 1.5"),
        ("features: {origin_dep_delay_max_3h: null}", "origin_dep_delay_max_3h: expected null, got 1.5"),
        ("stale: false", "stale: expected false, got true (the frontier is 2013-10-01T10:00:00.000Z)"),
    ],
)
def test_a_difference_names_time_key_feature_and_both_values(what: str, told: str, tmp_path: Path) -> None:
    assert judged(expecting(what), tmp_path) == [f"as of 2013-10-01T10:30:00.000Z, origin=EWR: {told}"]


def test_a_served_value_is_told_apart(tmp_path: Path) -> None:
    (line,) = judged(expecting("served: {origin_departures_1h: 1}"), tmp_path)
    assert line == "as of 2013-10-01T10:30:00.000Z, origin=EWR, served: origin_departures_1h: expected 1, got 0"


def test_late_ones_repeats_and_dead_letters_are_compared_by_the_fields_that_are_named(tmp_path: Path) -> None:
    assert judged(f"{VIEW}  late: []\n  repeats: []\n", tmp_path) == []
    assert judged(f"{VIEW.replace('}]', '}, ' + FLIGHT + ']')}  repeats: [{{flight_id: b}}]\n", tmp_path)[0].startswith(
        "repeats: expected flight_id=b in flight_id=a, "
    )
    assert judged(f"{VIEW}  late: [{{flight_id: a}}]\n", tmp_path) == ["late: expected 1, got 0"]


def test_an_undeclared_dead_letter_fails_its_case(tmp_path: Path) -> None:
    text = expecting("features: {origin_departures_1h: 0}").replace("dep_delay: 1.5", "dep_delay: soon")
    found = judged(text, tmp_path)
    assert found[0].startswith("dead_letters: expected 0, got 1; flight_id=a, ")
    assert found[1].startswith('dead_letters: wrong-type: field "dep_delay": expected float64, got string: flight_id=a')
    assert judged(f"{text}  dead_letters: [{{event: {{flight_id: a}}, reason: wrong-type}}]\n", tmp_path) == []
    (line,) = judged(f"{text}  dead_letters: [{{event: {{flight_id: a}}, reason: missing}}]\n", tmp_path)
    assert line.startswith('dead_letters: expected reason "missing", got "wrong-type: ')


def test_events_may_be_a_parquet_file_beside(tmp_path: Path) -> None:
    time = pa.array([datetime(2013, 10, 1, 10, 1, tzinfo=UTC)], pa.timestamp("ms", tz="UTC"))
    text = {name: pa.array([value]) for name, value in {"flight_id": "a", "carrier": "UA", "origin": "EWR", "dest": "ORD"}.items()}
    numbers = {"flight": pa.array([1]), "distance": pa.array([719.0]), "dep_delay": pa.array([1.5])}
    pq.write_table(pa.table(text | numbers | {"event_time": time, "sched_dep": time}), tmp_path / "departures.parquet")
    text_ = expecting("features: {origin_departures_1h: 1}").replace(f"[{FLIGHT}]", "departures.parquet")
    assert judged(text_, tmp_path) == []
    assert problems(text_.replace("departures.parquet", "departure.parquet"), tmp_path) == [
        "cases.yaml:4: case: events: departure.parquet does not exist; it is a Parquet file, or a folder of them"
    ]


def test_everything_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = f"""
unknown_view: {{view: origin_departure, events: []}}
of_neither: {{events: []}}
misspelt:
  view: origin_departures
  event: []
  events: [{FLIGHT.replace("carrier", "carier")}]
asked_wrongly:
  view: origin_departures
  events: [{FLIGHT}]
  expect:
    - {{as_of: soon, keys: {{origin: EWR}}, features: {{origin_departures_1h: 1}}}}
    - {{as_of: 2013-10-01, keys: {{orgin: EWR}}, features: {{origin_departures_1h: 1}}}}
    - {{as_of: 2013-10-01, request: {{origin: EWR}}, keys: {{origin: EWR}}, features: {{origin_departure_1h: 1, origin_late_1h: 1.5}}}}
    - {{as_of: 2013-10-01, keys: {{origin: EWR}}, stale: maybe}}
    - {{keys: {{origin: EWR}}, features: {{origin_departures_1h: 1}}}}
    - {{as_of: 2013-10-01, keys: {{origin: EWR}}}}
expects_nothing: {{view: origin_departures, events: []}}
no_mapping: 3
"""
    assert problems(text, tmp_path) == [
        'cases.yaml:2: unknown_view: no view is named "origin_departure"; did you mean "origin_departures"?',
        "cases.yaml:3: of_neither: names neither of view and service; it is of one of them",
        'cases.yaml:6: misspelt: "event" means nothing here; did you mean "events"?',
        'cases.yaml:7: misspelt: departures[0]: schema "departure" has no field "carier"; did you mean "carrier"?',
        "cases.yaml:12: asked_wrongly: expect: 'soon' is not a time; allowed: 2013-10-01T12:00Z, 2013-10-01, or milliseconds since the epoch",
        'cases.yaml:13: asked_wrongly: expect: as of 2013-10-01T00:00:00.000Z: view "origin_departures" is not asked by "orgin"; did you mean "origin"?',
        "cases.yaml:14: asked_wrongly: expect: a view is asked by keys, not by request",
        'cases.yaml:14: asked_wrongly: features: no feature "origin_departure_1h"; did you mean "origin_departures_1h"?',
        'cases.yaml:14: asked_wrongly: features: feature "origin_late_1h": expected int64, got double',
        "cases.yaml:15: asked_wrongly: expect: stale is 'maybe'; allowed is true or false",
        "cases.yaml:16: asked_wrongly: expect: as_of is missing: the time that features are of",
        "cases.yaml:17: asked_wrongly: expect: says nothing; say features, served or stale",
        "cases.yaml:18: expects_nothing: expects nothing; say expect, late, repeats or dead_letters",
        "cases.yaml:19: no_mapping: a case maps view, service, events, now, expect, late, repeats, dead_letters; got 3",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {b: 1", "cases.yaml:1: not YAML: expected ',' or '}', but got '<stream end>'"),
        ("- 1", "cases.yaml:1: a file of cases maps names to cases, e.g. a_burst: {view: …, events: …, expect: …}"),
        ("a: {view: origin_departures}\n\na: {}", 'cases.yaml:3: "a" is also in line 1, which would be lost'),
        ("a: &a [*a]", "cases.yaml: not YAML that ends: it is nested too deeply, or in itself"),
        ("a: {view: origin_departures, events: 3}", "events must be a list of records (field: value), the path of a Parquet file"),
        ("a: {view: origin_departures, events: [{heartbeat: later}]}", "'later' is not a time"),
        ("a: {view: origin_departures, events: [], late: [b]}", "cases.yaml:1: a: late is a list of mappings"),
    ],
)
def test_what_is_no_file_of_cases(text: str, told: str, tmp_path: Path) -> None:
    assert told in problems(text, tmp_path)[0]


def test_no_case_at_all(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="has no case"):
        read_cases(tmp_path, SHIPPED)
    with pytest.raises(SettingError, match="does not exist"):
        read_cases(tmp_path / "tests", SHIPPED)


def test_plain_words_are_what_they_look_like() -> None:
    read = read_document("[NO, 10:30, 2013-10-01, 012, 1e3, true, ~, '1', 1_0, -.5]", "file")
    assert read == ["NO", "10:30", "2013-10-01", 12, 1000.0, True, None, "1", "1_0", -0.5]
