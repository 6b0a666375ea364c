"""Commands run side by side, fail with one clear line, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from infra.settings import Settings
from jobs.demo.processes import Task, run
from schemas.errors import ServiceError


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _task(folder: Path, name: str, *arguments: str) -> Task:
    return Task(name=name, arguments=arguments, log=folder / "logs" / f"{name}.log")


def _silent(*_: object) -> None:
    """Nobody watches."""


def test_tasks_of_a_lane_run_in_order(tmp_path: Path) -> None:
    order: list[str] = []
    lanes = [[_task(tmp_path, "one", "--version"), _task(tmp_path, "two", "--help")]]
    run(
        lanes,
        Settings(home=tmp_path),
        began=lambda task: order.append(f"{task.name} began"),
        ended=lambda task, _: order.append(f"{task.name} ended"),
    )
    assert order == ["one began", "one ended", "two began", "two ended"]
    assert "tidemark 0." in (tmp_path / "logs/one.log").read_text()


@pytest.mark.slow
def test_a_failure_names_the_task_its_reason_and_its_log_and_ends_the_others(tmp_path: Path) -> None:
    before = _children()
    wrong = _task(tmp_path, "wrong", "read", "no-such-topic")
    with pytest.raises(ServiceError, match=r"wrong failed: .*tidemark up.*logs/wrong\.log\)"):
        run(
            [[_task(tmp_path, "slow", "check"), _task(tmp_path, "more", "check")], [wrong]],
            Settings(home=tmp_path),
            began=_silent,
            ended=_silent,
        )
    assert _children() <= before


def test_an_interrupt_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, running = _children(), set[int]()
    endless = [_task(tmp_path, str(number), "check") for number in range(100)]

    def interrupted(_: float) -> None:
        monkeypatch.undo()
        running.update(_children() - before)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(time, "sleep", interrupted)  # as it waits for its first command
    inherited = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts what runs in its background with interrupts ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run([endless], Settings(home=tmp_path), began=_silent, ended=_silent)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert len(running) == 1
    assert _children() <= before
