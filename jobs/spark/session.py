"""One Spark session with the meaning that the plan's SQL needs, started here or taken from spark-submit."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark import SparkConf
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from infra.java import QUICK, java_home, temporary
from infra.settings import Settings
from infra.spark.environment import LOG4J, spark_home
from schemas.errors import DataError, ServiceError

_MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # sums of integers wrap, as in Flink
    "spark.sql.caseSensitive": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # jobs/spark/parquet_source cuts nanoseconds itself
    "spark.sql.parquet.enableVectorizedReader": "true",
    "spark.sql.optimizer.windowGroupLimitThreshold": "-1",  # it would sort all events ahead of their exchange, too, in case most were repeats
}

FAULTS = (PySparkException, Py4JError, EOFError, ConnectionError)
"""What calls to Spark raise; the last two, of the sockets between, where its Java has died."""

_RAISED = re.compile(r"Traceback [^\n]*\n(?:[ \t][^\n]*\n)+(?:\w+\.)*([^\n]+)")
"""The last line of a Python traceback, without the module of the exception."""
_RAISED_IN_SQL = re.compile(r"\[USER_RAISED_EXCEPTION\] (.*) SQLSTATE: \w+$", re.MULTILINE)
"""What `raise_error` was given."""
_REFUSAL = f"{DataError.__name__}: "


@contextmanager
def session(name: str) -> Iterator[SparkSession]:
    """A session; it ends with the block.

    Under spark-submit the cluster, its size and its Java are the submitter's. Otherwise Spark runs in this process's cores, on loopback.

    Raises:
        SettingError: There is no usable Java, or the home cannot be written.
        ServiceError: Spark does not start, or fails in the block; in one line.
        DataError: What its workers refuse to read in the block.
    """
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    builder = SparkSession.builder.appName(name)
    if not submitted:
        os.environ["JAVA_HOME"] = str(java_home())
        os.environ["SPARK_HOME"] = str(spark_home())  # one of another version would not understand this pyspark
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        for key, value in _local().items():
            builder = builder.config(key, value)
    elif SparkConf().get("spark.master", "local").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for key, value in _MEANING.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except FAULTS as error:
        raise ServiceError(f"Spark does not start: {reason(error)}") from error
    spark.sparkContext.setLogLevel("ERROR")
    _tell_the_end_of_java_once(spark)
    try:
        with told():
            yield spark
    finally:
        with suppress(*FAULTS):
            spark.stop()


@contextmanager
def told() -> Iterator[None]:
    """Faults of Spark in the block become ours, in one line.

    Raises:
        DataError: What a worker refused to read.
        ServiceError: All others.
    """
    try:
        yield
    except FAULTS as error:
        what = reason(error)
        raise (DataError(what.removeprefix(_REFUSAL)) if is_refusal(error) else ServiceError(f"Spark: {what}")) from error


def _tell_the_end_of_java_once(spark: SparkSession) -> None:
    """Silences the tracebacks that pyspark and py4j print beside the error that they raise.

    For as long as this process lives: py4j frees Java's objects in a thread of its own, and goes on after the session's end.
    """
    server = spark.sparkContext._accumulatorServer
    others = server.handle_error

    def handle_error(request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), FAULTS):
            others(request, client_address)

    server.handle_error = handle_error  # type: ignore[method-assign]
    logging.getLogger().addFilter(_not_of_py4j)
    if not isinstance(sys.unraisablehook, UnclosedIterators):
        sys.unraisablehook = UnclosedIterators(sys.unraisablehook)


class UnclosedIterators:
    """Passes over what pyspark cannot raise when it frees an iterator over rows whose Java has died: that the socket to it is broken."""

    def __init__(self, others: Callable[[Any], object]) -> None:
        """Before whom."""
        self._others = others

    def __call__(self, unraisable: Any) -> None:
        """As `sys.unraisablehook`."""
        if not (isinstance(unraisable.exc_value, OSError) and "PyLocalIterable" in repr(unraisable.object)):
            self._others(unraisable)


def is_gone(spark: SparkSession) -> bool:
    """Whether nothing more can be computed: its Java has died, or its cluster has given it up."""
    try:
        return bool(spark.sparkContext._jsc.sc().isStopped())
    except FAULTS:
        return True


def is_refusal(error: Exception) -> bool:
    """Whether what was read is refused, so that to try again is of no use."""
    return reason(error).startswith(_REFUSAL)


def reason(error: Exception) -> str:
    """The line of a Spark error that tells most: what a Python worker or `raise_error` raised, else the innermost cause."""
    if _java_died(error):
        return "its Java process has ended"
    if raised := _RAISED.findall(str(error)) or _RAISED_IN_SQL.findall(str(error)):
        return str(raised[-1])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or [type(error).__name__])[-1 if causes else 0]


def _java_died(error: Exception) -> bool:
    """Whether nobody answers; a fault of Java's own comes with its stack."""
    unanswered = type(error) is Py4JError and "\n" not in str(error).strip()
    return unanswered or isinstance(error, EOFError | ConnectionError | Py4JNetworkError)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    return record.module != "java_gateway"


def _local() -> dict[str, str]:
    scratch = Settings.load().home / "spark"
    logging = f"-Dlog4j2.configurationFile={LOG4J.as_uri()}"
    return {
        "spark.local.dir": str(scratch),
        "spark.master": "local[*]",
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": " ".join((logging, *temporary(scratch), "-XX:+UseSerialGC", *QUICK)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    }
