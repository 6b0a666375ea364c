"""What all rooms of tests share: one embedded runtime for the end-to-end tests of a session, and how tests are dealt out to workers."""

from __future__ import annotations

import re
import socket
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from infra import runtime
from infra.settings import Settings
from schemas.machine_code import keep_in
from tests.waiting import PATIENCE_S

# How long an example takes, and how long it takes to think of one, is the machine's affair.
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any machine")

keep_in(Settings.load(environ={}, folder=Path(__file__).parents[1]).machine_code)  # or each process of tests compiled for seconds

_SHARED = "the shared runtime"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Deals whole files to workers, and all files whose tests ask for the shared runtime to one.

    (`--dist loadgroup` would do, but xdist 3.8 writes its groups into an attribute that pytest 9.2 no longer reads.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _SHARED if _shares_runtime(self.config.rootpath / file) else file


@cache
def _shares_runtime(file: Path) -> bool:
    return re.search(r"[(,]\s*(settings: Settings|replay: Run)\b", file.read_text()) is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tables in `docs/` are compared with what is measured, or written with it."""
    parser.addoption("--publish", action="store_true", help="write what tests measure into the tables of docs/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How `-n` deals tests out."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: the tests of the shared runtime, then the other end-to-end tests."""
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None, not _shares_runtime(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails on the shared runtime tells which of its services have been replaced until then, and why: another test's doing, or the machine's."""
    report = yield
    if report.failed and _shares_runtime(item.path):
        report.sections += [("services that were replaced", log.read_text()) for log in _supervisor_logs if log.exists()]
    return report


_supervisor_logs = list[Path]()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running embedded runtime: real Kafka, Valkey and Flink, shared by all tests, so name topics and jobs your own way."""
    home = tmp_path_factory.mktemp("home")
    environ = {"HOME": str(home), "CHECKPOINT_INTERVAL": "2s", "START_TIMEOUT": f"{PATIENCE_S:.0f}s", "JIT": "quick"}
    settings = Settings.load(environ={f"TIDEMARK_{name}": value for name, value in environ.items()}, folder=home)
    _supervisor_logs.append(home / "logs" / "supervisor.log")
    with runtime.started(settings):
        yield settings


@pytest.fixture
def nobody() -> Iterator[str]:
    """`host:port` where nobody listens; nor can anybody, as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
