"""What is told of Spark's faults, and what pyspark leaves behind where its Java dies."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from jobs.spark.session import UnclosedIterators, told
from schemas.errors import DataError, ServiceError, TidemarkError

PYTHON = """Traceback (most recent call last):
  File "/a/arrow_reader.py", line 76, in _rows
    raise DataError(f"{where}: {problems}")
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
schemas.errors.DataError: a.parquet: column "items" is null
"""
SQL = 'SparkRuntimeException: [USER_RAISED_EXCEPTION] DataError: b.parquet: column "card" is no text SQLSTATE: P0001\n\tat org.apache.spark'
TWICE = "SparkException: [STAGE_MATERIALIZATION_MULTIPLE_FAILURES] Multiple failures (2) in stage materialization: \n"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (f"An error occurred\n{PYTHON}\n\tat org.apache", DataError('a.parquet: column "items" is null')),
        (
            f"{TWICE}  1. PythonException: [PYTHON_EXCEPTION] thrown: {PYTHON} SQLSTATE: 38000\n",
            DataError('a.parquet: column "items" is null'),
        ),
        (f"Job aborted: {SQL}", DataError('b.parquet: column "card" is no text')),
        (f"{TWICE}  1. {SQL}\n  2. {SQL}", DataError('b.parquet: column "card" is no text')),
        ("SparkException: lost\nCaused by: java.io.IOException: No space left", ServiceError("Spark: java.io.IOException: No space left")),
    ],
)
def test_what_a_worker_or_a_query_refuses_to_read_is_told_as_such(said: str, error: TidemarkError) -> None:
    with pytest.raises(type(error)) as caught, told():
        raise PySparkException(said)
    assert str(caught.value) == str(error)


class PyLocalIterable:
    """As pyspark's, which raises as it is freed."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


class Another:
    """Somebody else's."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("cls", "error", "told"),
    [
        (PyLocalIterable, BrokenPipeError("gone"), False),
        (PyLocalIterable, ValueError("a fault"), True),
        (Another, BrokenPipeError("gone"), True),
    ],
)
def test_only_the_broken_sockets_of_its_iterators_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, cls: Callable[[Exception], object], error: Exception, told: bool
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", UnclosedIterators(lambda unraisable: seen.append(unraisable.exc_value)))
    cls(error)
    gc.collect()
    assert seen == ([error] if told else [])


AFTER_THE_END = """
import logging, threading
import psutil
from jobs.spark.session import session
from schemas.errors import ServiceError

connected, ended = threading.Event(), threading.Event()

def free(client):
    client.garbage_collect_object("o1", False)  # as py4j's own thread does, each time over the connection of its first
    connected.set()
    ended.wait()
    client.garbage_collect_object("o2", False)

try:
    with session("killed") as spark:
        thread = threading.Thread(target=free, args=(spark.sparkContext._gateway._gateway_client,))
        thread.start()
        connected.wait()
        for fault in (EOFError("the socket is closed"), ValueError("a fault of its own")):
            try:
                raise fault
            except Exception:
                spark.sparkContext._accumulatorServer.handle_error(None, "somebody")
        (java,) = [child for child in psutil.Process().children(recursive=True) if child.name() == "java"]
        java.kill()
        java.wait()
        spark.range(3).count()
except ServiceError as error:
    print(error)
ended.set()
thread.join()
logging.getLogger().error("somebody else's")
"""


@pytest.mark.e2e
def test_of_a_killed_session_its_end_is_told_alone_and_other_faults_as_ever(tmp_path: Path) -> None:
    environment = os.environ | {"TIDEMARK_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", AFTER_THE_END], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "Spark: its Java process has ended\n"
    assert done.stderr.splitlines()[-1:] == ["ERROR:root:somebody else's"]
    assert done.stderr.count("Traceback") == 1 and "ValueError: a fault of its own" in done.stderr, done.stderr
