"""The shape of `jobs/score` and `jobs/materialize`: raw records in, one Arrow function, records or dead letters out.

topics ─raw bytes─▶ BatchFunction (one Python worker for each subtask) ─▶ one Kafka sink: answers, and refused bytes to `<topic>.dlq`

Raw, so that no record can kill the job; one function, so that a worker holds one model and one connection; one sink that picks the topic
record by record, so that the function is evaluated once and answers and dead letters are in the same transaction.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from features.compiler.flink_letters import REASON, headers
from features.compiler.flink_text import text, with_options
from infra.settings import Settings
from jobs.flink import graph
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError

Result = TypeVar("Result")

PATIENCE_MS = 60_000  # how long a batch waits for a service before the task fails and Flink restarts it from the last checkpoint

CHECKPOINT_TIMEOUT_MS = 180_000

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_RESULT = DataTypes.ROW(
    [
        DataTypes.FIELD("key", DataTypes.BYTES()),
        DataTypes.FIELD("value", DataTypes.BYTES()),
        DataTypes.FIELD("reason", DataTypes.STRING()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What a function makes of n records: an answer (key and value), a reason to refuse it, or neither."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    reasons: Sequence[str | None]
    counts: Mapping[str, int] = field(default_factory=dict)  # added to the metrics of these names


class PatientFunction(ScalarFunction):  # type: ignore[misc]  # pyflink is untyped
    """A stateful function over batches; lives in the Python worker, and waits for services that do not answer.

    It counts its batches, beside what else it names: `batches` tells how they follow the load.
    """

    metrics: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # of the source, that `eval` is called with; of a later stage none

    @abstractmethod
    def start(self) -> None:
        """Load and connect, once in each worker. A ServiceError is tried again."""

    def open(self, function_context: FunctionContext) -> None:
        """Called by Flink before the first batch."""
        self._log = logging.getLogger("tidemark")
        group = function_context.get_metric_group()
        self._counters = {name: group.counter(name) for name in ("batches", *self.metrics)}
        retry_until_available(self.start, log=self._log)

    def retry_until_available(self, action: Callable[[], BatchResult]) -> pd.DataFrame:
        """What an action makes of a batch, for Flink."""
        outcome = retry_until_available(action, log=self._log)
        self._counters["batches"].inc()
        for name, count in outcome.counts.items():
            if count:
                self._counters[name].inc(count)
        return pd.DataFrame({"key": list(outcome.keys), "value": list(outcome.values), "reason": list(outcome.reasons)}, dtype=object)


class BatchFunction(PatientFunction):
    """Raw records → answers, or reasons to refuse them."""

    columns = ("_body",)

    @abstractmethod
    def process(self, bodies: Sequence[bytes | None]) -> BatchResult:
        """Answer a batch; called again with the same batch after a ServiceError, so it must be idempotent until it returns."""

    def eval(self, body: pd.Series[Any]) -> pd.DataFrame:
        """Called by Flink with each Arrow batch."""
        bodies = body.tolist()
        return self.retry_until_available(lambda: self.process(bodies))


class PlacedFunction(PatientFunction):
    """Raw records, of which it is known where they lay → answers, or reasons to refuse them."""

    columns = ("_topic", "_body", "_partition", "_offset")

    @abstractmethod
    def process(
        self, topics: Sequence[str], bodies: Sequence[bytes | None], partitions: Sequence[int], offsets: Sequence[int]
    ) -> BatchResult:
        """Answer a batch; called again as `BatchFunction.process` is."""

    def eval(self, topic: pd.Series[str], body: pd.Series[Any], partition: pd.Series[int], offset: pd.Series[int]) -> pd.DataFrame:
        """Called by Flink with each Arrow batch."""
        topics, bodies, partitions, offsets = topic.tolist(), body.tolist(), partition.tolist(), offset.tolist()
        return self.retry_until_available(lambda: self.process(topics, bodies, partitions, offsets))


class StageFunction(PatientFunction):
    """What the function before has answered → answers, in a worker of its own. What was refused before stays so."""

    @abstractmethod
    def continue_batch(self, keys: Sequence[bytes], values: Sequence[bytes]) -> BatchResult:
        """Go on with a batch of answers; called again as `BatchFunction.process` is."""

    def eval(self, key: pd.Series[Any], value: pd.Series[Any], reason: pd.Series[Any]) -> pd.DataFrame:
        """Called by Flink with each Arrow batch."""
        keys, values, reasons = key.tolist(), value.tolist(), reason.tolist()
        answered = [row for row, said in enumerate(reasons) if said is None]
        if not answered:
            return pd.DataFrame({"key": keys, "value": values, "reason": reasons}, dtype=object)

        def all_of_them() -> BatchResult:
            outcome = self.continue_batch([keys[row] for row in answered], [values[row] for row in answered])
            for row, one_key, one_value, one_reason in zip(answered, outcome.keys, outcome.values, outcome.reasons, strict=True):
                keys[row], values[row], reasons[row] = one_key, one_value, one_reason
            return BatchResult(keys=keys, values=values, reasons=reasons, counts=outcome.counts)

        return self.retry_until_available(all_of_them)


def retry_until_available(action: Callable[[], Result], *, log: logging.Logger, patience_ms: int = PATIENCE_MS) -> Result:
    """Do it, again and again while a service does not answer, with growing pauses.

    Raises:
        ServiceError: It did not answer for that long.
    """
    deadline = time.monotonic() + patience_ms / 1000
    pause = _FIRST_PAUSE_S
    waiting = False
    while True:
        try:
            result = action()
        except ServiceError as fault:
            if time.monotonic() + pause > deadline:
                log.error("gave up after %d s, the task restarts from the last checkpoint: %s", patience_ms // 1000, fault)
                raise
            if not waiting:
                log.warning("waiting up to %d s: %s", patience_ms // 1000, fault)
                waiting = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        else:
            if waiting:
                log.warning("it answers again, nothing was lost")
            return result


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One job of this shape.

    Attributes:
        name: Of the job: its consumer group and transactions go by it.
        topics: What it reads, from the first record that no earlier run of the job has committed.
        answers: Where values go; None when there are none.
        function: What is done.
        stages: What is done with its answers after that, one by one, each in slots and Python workers of its own.
        transactions_ms: How long a Kafka transaction may stay open; None writes at least once, without transactions.
        from_earliest: Read all of the topics anew when there is no checkpoint, rather than from the committed offsets.
    """

    name: str
    topics: tuple[str, ...]
    answers: str | None
    function: BatchFunction | PlacedFunction
    stages: tuple[StageFunction, ...] = ()
    transactions_ms: int | None = None
    from_earliest: bool = False

    @property
    def dead_letters(self) -> tuple[str, ...]:
        """Where refused records go, a topic for each that is read."""
        return tuple(f"{topic}.dlq" for topic in self.topics)

    @property
    def written(self) -> tuple[str, ...]:
        """Every topic that it writes."""
        return self.dead_letters if self.answers is None else (self.answers, *self.dead_letters)

    def tables(self, kafka: Connection) -> tuple[str, str]:
        """The DDL of the source and of the sink."""
        shared = {
            "key.format": "raw",
            "key.fields": "_key",
            "value.format": "raw",
            "value.fields-include": "EXCEPT_KEY",
        }
        start = "earliest-offset" if self.from_earliest else "group-offsets"
        incoming = kafka.source_table(self.topics, group=f"tidemark.{self.name}", start=start)
        transactions = None if self.transactions_ms is None else (f"tidemark.{self.name}", self.transactions_ms)
        outgoing = kafka.sink_table(self.written, linger_ms=0, transactions=transactions)
        source = f"""CREATE TABLE `incoming` (
  `_key` BYTES,
  `_body` BYTES,
  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL,
  `_topic` STRING NOT NULL METADATA FROM 'topic' VIRTUAL,
  `_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  `_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
{with_options(incoming | shared)}
)"""
        sink = f"""CREATE TABLE `outgoing` (
  `_key` BYTES,
  `_body` BYTES,
  `_topic` STRING NOT NULL METADATA FROM 'topic',
  `_headers` MAP<STRING, BYTES> METADATA FROM 'headers',
  `_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
{with_options(outgoing | shared)}
)"""
        return source, sink

    @property
    def handed_on(self) -> str:
        """The records with what the function makes of them; those of which it makes nothing are gone."""
        columns = ", ".join(f"`{name}`" for name in self.function.columns)
        return f"""SELECT * FROM (SELECT `process_batch`({columns}) AS `_result`, * FROM `incoming`)
WHERE `_result`.`reason` IS NOT NULL OR `_result`.`value` IS NOT NULL"""

    def stage(self, number: int) -> str:
        """The same after a later stage, 1 for the first of them."""
        rest = "`_key`, `_body`, `_headers`, `_topic`, `_partition`, `_offset`, `_time`"
        return f"""SELECT `stage_{number}`(`_result`.`key`, `_result`.`value`, `_result`.`reason`) AS `_result`, {rest}
FROM `handed_on_{number}`"""

    def insert(self, results: str) -> str:
        """The end of the job: an answer has the time of its writing; a dead letter keeps the record's key, bytes, headers and time, and says where it was."""
        answers = "CAST(NULL AS STRING)" if self.answers is None else text(self.answers)
        return f"""INSERT INTO `outgoing`
SELECT
  CASE WHEN `_result`.`reason` IS NULL THEN `_result`.`key` ELSE `_key` END,
  CASE WHEN `_result`.`reason` IS NULL THEN `_result`.`value` ELSE `_body` END,
  CASE WHEN `_result`.`reason` IS NULL THEN {answers} ELSE `_topic` || '.dlq' END,
  CASE WHEN `_result`.`reason` IS NOT NULL THEN {headers({REASON: "`_result`.`reason`"})} END,
  CASE WHEN `_result`.`reason` IS NOT NULL THEN GREATEST(`_time`, TO_TIMESTAMP_LTZ(0, 3)) END
FROM ({results})"""

    def submit(self, settings: Settings) -> None:
        """Start the job on the cluster that runs this driver."""
        configuration = Configuration()
        configuration.set_string("execution.checkpointing.timeout", f"{CHECKPOINT_TIMEOUT_MS}ms")
        configuration.set_string("pipeline.object-reuse", "true")  # no operator here keeps a row that it has not copied
        environment = StreamExecutionEnvironment.get_execution_environment(configuration)
        tables = StreamTableEnvironment.create(environment)
        tables.create_temporary_function("process_batch", _function(self.function))
        for table in self.tables(Connection.of(settings)):
            tables.execute_sql(table)
        results = self.handed_on
        for number, function in enumerate(self.stages, 1):
            stream = tables.to_data_stream(tables.sql_query(results))
            # SQL has no word for it, and what follows inherits it: a group's operators have slots, and so Python workers, of their own.
            stream._j_data_stream.getTransformation().setSlotSharingGroup(f"stage-{number}")
            tables.create_temporary_view(f"handed_on_{number}", tables.from_data_stream(stream))
            tables.create_temporary_function(f"stage_{number}", _function(function))
            results = self.stage(number)
        written = tables.create_statement_set()
        written.add_insert_sql(self.insert(results))
        graph.submit(written, environment, settings, reads=self.topics)


def _function(function: PatientFunction) -> Any:
    return udf(function, result_type=_RESULT, func_type="pandas")
