"""What cannot work is refused in one clear line before a job of score starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from features.catalog import service_named
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.score import pipeline
from schemas.errors import TidemarkError
from tests import shop

SETTINGS = Settings(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1", definitions=shop.DEFINITIONS, schemas=shop.SCHEMAS)
BUY = shop.plan().services["buy"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shop.train(tmp_path / "buy")


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return edit


def damaged(folder: Path) -> None:
    file = folder / "model.txt"
    file.write_bytes(file.read_bytes()[:-40])


def of_another_feature(folder: Path) -> None:
    features = json.loads((folder / "manifest.json").read_text())["features"]
    edited(features=[feature | {"name": feature["name"].replace("price", "prize")} for feature in features])(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damaged, "damaged: its sha256 is"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "no model here"),
        (lambda folder: (folder / "model.txt").unlink(), "cannot be read"),
        (edited(service_version="0123456789abcdef"), "was made for service buy version 0123456789abcdef"),
        (edited(service="sell"), "was made for service sell"),
        (of_another_feature, "the model needs prize"),
    ],
)
def test_a_model_that_cannot_serve(model: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(model)
    with pytest.raises(TidemarkError, match=said) as refused:
        pipeline(SETTINGS, BUY, model=model)
    assert "\n" not in str(refused.value)
    assert str(model) in str(refused.value)


def test_a_good_model_is_taken(model: Path) -> None:
    job = pipeline(SETTINGS, BUY, model=model)
    assert job.topics == ("offers",)
    assert job.written == ("buy.predictions", "offers.dlq")
    assert "'sink.delivery-guarantee' = 'at-least-once'" in job.tables(Connection(servers="127.0.0.1:1"))[1]


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(TidemarkError, match=r'^no feature service is named "bui"; did you mean "buy"\?$'):
        service_named("bui", shop.plan())
