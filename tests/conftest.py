"""What several rooms of tests share: one embedded runtime for all end-to-end tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra import runtime
from infra.settings import Settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running embedded runtime: real Kafka, Valkey and Flink, shared by all tests, so name topics and jobs your own way."""
    home = tmp_path_factory.mktemp("home")
    environ = {"TIDEMARK_HOME": str(home), "TIDEMARK_CHECKPOINT_INTERVAL": "2s", "TIDEMARK_START_TIMEOUT": "180s"}
    settings = Settings.load(environ=environ, folder=home)
    with runtime.started(settings):
        yield settings
