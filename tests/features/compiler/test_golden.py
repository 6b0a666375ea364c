"""What the definitions compile to, as text that a reviewer can read; `UPDATE_GOLDEN=1` rewrites the files of tests/golden/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fastavro import parse_schema

from features.catalog import load
from features.compiler.tile_schema import tile_avro_schema
from features.plan import ViewPlan
from jobs.cli.compile import Engine, rendered, rendered_service

EVERY = Path(__file__).parents[1] / "every"
GOLDEN = Path(__file__).parents[2] / "golden"
PLANS = (load(None, None), load(EVERY / "definitions", EVERY / "schemas"))
VIEWS = [view for plan in PLANS for view in plan.views.values()]
SERVICES = [service for plan in PLANS for service in plan.services.values()]
SUFFIX = {Engine.PLAN: "plan.json", Engine.FLINK: "flink.sql", Engine.SPARK: "spark.sql", Engine.FEAST: "feast.txt"}


def same(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(f"{text}\n")
    assert path.is_file(), f"{path} is not there: UPDATE_GOLDEN=1 writes it"
    assert f"{text}\n" == path.read_text(), f"{path} differs: if that is meant, UPDATE_GOLDEN=1 rewrites it"


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_view(view: ViewPlan, engine: Engine) -> None:
    same(f"{view.name}.{SUFFIX[engine]}", rendered(view, engine))


@pytest.mark.parametrize("engine", [Engine.PLAN, Engine.FEAST])
def test_services(engine: Engine) -> None:
    for service in SERVICES:
        text = rendered_service(service, engine)
        assert text is not None
        same(f"{service.name}.{SUFFIX[engine]}", text)


def test_no_file_is_left_over() -> None:
    expected = {f"{view.name}.{suffix}" for view in VIEWS for suffix in SUFFIX.values()}
    expected |= {f"{service.name}.{SUFFIX[engine]}" for service in SERVICES for engine in (Engine.PLAN, Engine.FEAST)}
    assert {path.name for path in GOLDEN.iterdir()} == expected


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_tile_schema_is_avro_with_the_tile_s_columns(view: ViewPlan) -> None:
    schema = tile_avro_schema(view)
    parse_schema(schema)
    fields = schema["fields"]
    assert isinstance(fields, list)
    own = [*(key.name for key in view.keys), "tile_start", "revision"]
    assert [field["name"] for field in fields] == [*own, *(column.name for column in view.tile_columns)]
    assert [isinstance(field["type"], list) for field in fields] == [False] * len(own) + [True] * len(view.tile_columns)
