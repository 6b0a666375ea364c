"""What all rooms of tests share: one embedded runtime for the end-to-end tests of a session, and how tests are dealt out to workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra import runtime
from infra.settings import Settings


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under `-n`, all end-to-end tests are one group, so that one worker runs them on one runtime; groups come first, as what takes longest."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, item.get_closest_marker("xdist_group") is None))


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running embedded runtime: real Kafka, Valkey and Flink, shared by all tests, so name topics and jobs your own way."""
    home = tmp_path_factory.mktemp("home")
    environ = {"TIDEMARK_HOME": str(home), "TIDEMARK_CHECKPOINT_INTERVAL": "2s", "TIDEMARK_START_TIMEOUT": "180s"}
    settings = Settings.load(environ=environ, folder=home)
    with runtime.started(settings):
        yield settings
