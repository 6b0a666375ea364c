"""No password travels with a job: what its functions carry goes into the job graph, which is kept and shown in many places."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from infra.settings import Settings
from jobs import materialize, score
from jobs.features import Job
from jobs.flink.gate import Clock, Gate
from schemas.masking import Secret
from tests import shop

PASSWORD = "hunter2"
PLAN = shop.plan()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Each that may hold a password has one."""
    return Settings(
        home=tmp_path / "home",
        definitions=shop.DEFINITIONS,
        schemas=shop.SCHEMAS,
        kafka="127.0.0.1:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="me",
        kafka_sasl_password=Secret(PASSWORD),
        redis=f"redis://me:{PASSWORD}@127.0.0.1:1/0",
        registry=f"http://me:{PASSWORD}@127.0.0.1:1",
        maven=f"https://me:{PASSWORD}@127.0.0.1:1",
    )


def carried(function: object) -> bytes:
    return pickle.dumps(function)


def test_materialize(settings: Settings) -> None:
    assert PASSWORD.encode() not in carried(materialize.pipeline(settings, PLAN).function)


@pytest.mark.slow
def test_score(settings: Settings, tmp_path: Path) -> None:
    job = score.pipeline(settings, PLAN.services["buy"], model=shop.train(tmp_path / "buy"))
    assert PASSWORD.encode() not in carried((job.function, job.stages))


def test_features(settings: Settings) -> None:
    source = PLAN.sources["clicks"]
    own = Job(plan=PLAN, sources=[source], settings=settings)._settings
    clock = Clock(source=source, settings=own, group="any", least_ms=0)
    assert PASSWORD.encode() not in carried(Gate(source=source, schemas=shop.schemas(), settings=own, clock=clock))


def test_it_would_be_seen(settings: Settings) -> None:
    function = materialize.MaterializeFunction(
        views=tuple(PLAN.views.values()), schemas=shop.schemas(), settings=Settings(redis=settings.redis), generation=1
    )
    assert PASSWORD.encode() in carried(function)
