"""A data version names all that values depend on, keeps through JSON, and tells what differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from features.catalog import load
from features.plan import ServicePlan
from features.versions.data_version import KEY, CodeVersion, DataFile, DataVersion
from features.versions.data_version_diff import changes
from features.vocabulary.derived import derived_feature
from features.window import Sliding
from schemas import schema
from schemas.errors import DataError
from schemas.schema import Schema, SchemaSet

SERVICE = load(None, None).services["flight_delay"]
DEPARTURE = SchemaSet.load(schema.SHIPPED).current("departure")
CODE = CodeVersion(release="0.1.0", sources_sha256="ab" * 32, commit="c0ffee")
SEPTEMBER, OCTOBER = (DataFile(name=f"2013-{month}.parquet", bytes=9, rows=1_000 * month, sha256=f"{month:064}") for month in (9, 10))
FILES = {"requests": (OCTOBER,), "departures": (SEPTEMBER, OCTOBER)}


def version(service: ServicePlan = SERVICE, **given: Any) -> DataVersion:
    defaults: dict[str, Any] = {
        "schemas": {"departures": DEPARTURE},
        "options": {"as_known": False, "from": None},
        "files": FILES,
        "code": CODE,
    }
    return DataVersion.of(service, **(defaults | given))


def in_view(name: str, **fields: Any) -> ServicePlan:
    return replace(SERVICE, views=tuple(replace(view, **fields) if view.name == name else view for view in SERVICE.views))


def without_a_feature() -> ServicePlan:
    view = SERVICE.views[0]
    return in_view(view.name, features=view.features[:-1])


def without_a_horizon(name: str) -> ServicePlan:
    """Repeats count again, though no tile looks other."""
    view = next(view for view in SERVICE.views if view.name == name)
    return in_view(name, source=replace(view.source, dedupe_ms=None))


def with_field(name: str, **changed: Any) -> dict[str, Schema]:
    fields = tuple(replace(field, **changed) if field.name == name else field for field in DEPARTURE.fields)
    return {"departures": replace(DEPARTURE, fields=fields)}


def with_a_hop() -> ServicePlan:
    view = SERVICE.views[0]
    return in_view(view.name, features=(replace(view.features[0], window=Sliding(size_ms=3_600_000, hop_ms=600_000)), *view.features[1:]))


def with_a_wider_window() -> ServicePlan:
    view = SERVICE.views[0]
    return in_view(view.name, features=(replace(view.features[0], window=Sliding(size_ms=7_200_000)), *view.features[1:]))


def with_another_condition() -> ServicePlan:
    """As a definition says it: the partial's name, which is made of its condition, changes too."""
    view = SERVICE.views[0]
    feature = next(each for each in view.features if each.name == "origin_late_1h")
    (partial,) = feature.partials
    assert SERVICE.label is not None
    other = replace(partial, name="count_0", where=SERVICE.label.value)
    partials = tuple(other if each is partial else each for each in view.partials)
    return in_view(
        view.name,
        partials=partials,
        features=tuple(replace(each, partials=(other,)) if each is feature else each for each in view.features),
    )


def late_share(origin_late_1h: Any, origin_departures_1h: Any) -> Any:
    return origin_late_1h / origin_departures_1h


LATE_SHARE = derived_feature("late_share", late_share)
assert not isinstance(LATE_SHARE, str), LATE_SHARE
SHIPPED = version()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: version(without_a_feature()), ["view origin_departures: − feature origin_dep_delay_max_3h"]),
        (
            lambda: version(with_a_wider_window()),
            ["view origin_departures: ~ feature origin_departures_1h, window: 1h → 2h"],
        ),
        (lambda: version(with_a_hop()), ["view origin_departures: ~ feature origin_departures_1h, hop: none → 10m"]),
        (
            lambda: version(with_another_condition()),
            [
                "view origin_departures: + tile column count_0",
                "view origin_departures: − tile column count_64f74b0a",
                "view origin_departures: ~ feature origin_late_1h, partials: count_64f74b0a → count_0",
            ],
        ),
        (lambda: version(in_view("aircraft_arrivals", tile_ms=1)), ["view aircraft_arrivals: tile: 5m → 1ms"]),
        (
            lambda: version(without_a_horizon("aircraft_arrivals")),
            ["view aircraft_arrivals: id: flight_id → none", "view aircraft_arrivals: dedupe: 1h → none"],
        ),
        (
            lambda: version(schemas=with_field("dep_delay", has_default=True, default=1.0)),
            ["departures: ~ field dep_delay, default: none → 1.0"],
        ),
        (
            lambda: version(schemas=with_field("dep_delay", non_finite_allowed=True)),
            ["departures: ~ field dep_delay, non_finite: False → True"],
        ),
        (lambda: version(replace(SERVICE, views=SERVICE.views[:-1])), ["− view aircraft_arrivals"]),
        (
            lambda: version(replace(SERVICE, label=None)),
            ["service flight_delay: label: source arrivals, on flight_id, value arr_delay > 15.0 → none"],
        ),
        (
            lambda: version(replace(SERVICE, derived=(LATE_SHARE,))),
            ["service flight_delay: + derived feature late_share"],
        ),
        (lambda: version(options={"as_known": True, "from": None}), ["option as_known: false → true"]),
        (lambda: version(options={"as_known": False, "from": "2013-10-01"}), ['option from: null → "2013-10-01"']),
        (
            lambda: version(files=FILES | {"departures": (OCTOBER,), "arrivals": (SEPTEMBER,)}),
            ["arrivals: 1 file added: 2013-9.parquet (9,000 rows)", "departures: 1 file removed: 2013-9.parquet (9,000 rows)"],
        ),
        (
            lambda: version(files=FILES | {"requests": (replace(OCTOBER, rows=3, sha256="f" * 64),)}),
            ["requests: 1 file changed: 2013-10.parquet (10,000 → 3 rows)"],
        ),
        (
            lambda: version(files=FILES | {"requests": (replace(OCTOBER, sha256="f" * 64),)}),
            ["requests: 1 file changed: 2013-10.parquet (10,000 rows, other content)"],
        ),
        (
            lambda: version(code=replace(CODE, sources_sha256="cd" * 32, commit="beef")),
            ["code: 0.1.0+abababababab → 0.1.0+cdcdcdcdcdcd (commit c0ffee → beef)"],
        ),
    ],
)
def test_a_difference_changes_the_digest_and_is_told(other: Callable[[], DataVersion], told: list[str]) -> None:
    changed = other()
    assert changed.digest != SHIPPED.digest
    lines = [line for line in changes(SHIPPED, changed) if not line.startswith("service flight_delay: version ")]
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True)), lines
    assert changes(changed, SHIPPED) != []


def test_of_many_files_some_are_named_and_all_counted() -> None:
    many = tuple(replace(OCTOBER, name=f"{n:03}.parquet") for n in range(300))
    (line,) = changes(version(files={"departures": ()}), version(files={"departures": many}))
    assert line.startswith("departures: 300 files added: 000.parquet (10,000 rows), ")
    assert line.endswith("004.parquet (10,000 rows) and 295 more")


def test_the_commit_and_the_order_of_files_decide_nothing() -> None:
    again = version(code=replace(CODE, commit=None), files=dict(reversed([(name, files[::-1]) for name, files in FILES.items()])))
    assert again.digest == SHIPPED.digest
    assert changes(SHIPPED, again) == []


def test_it_keeps_through_json_and_says_when_it_was_changed_there() -> None:
    manifest = {KEY: SHIPPED.json()}
    again = DataVersion.parse(json.loads(json.dumps(manifest)), "a.json")
    assert (again, again.digest, again.files_sha256) == (SHIPPED, SHIPPED.digest, SHIPPED.files_sha256)
    damaged: list[dict[str, Any]] = [
        {},
        {KEY: None},
        {KEY: {}},
        {KEY: manifest[KEY] | {"service": "another"}},
        {KEY: manifest[KEY] | {"files": 3}},
    ]
    for each in damaged:
        with pytest.raises(DataError, match=r"^a\.json: no data version, or a damaged one") as error:
            DataVersion.parse(each, "a.json")
        assert "\n" not in str(error.value)
