"""The gate and the clock of a features job: raw Arrow batches → kinds, reasons and fields; where messages lie and the times that they tell → watermarks."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyflink.table.udf import FunctionContext, ScalarFunction

from features.plan import SourcePlan
from features.watermarks import NONE, TICK, Watermarks
from infra.settings import Settings
from jobs.flink.pipeline import retry_until_available
from jobs.kafka.connection import Connection
from jobs.kafka.decoding import decoder
from jobs.kafka.partition_log import PartitionLog
from schemas.event_time import plausible_as_seconds
from schemas.schema import SchemaSet
from schemas.wire import BAD, MARKER, OK


class Gate(ScalarFunction):  # type: ignore[misc]  # pyflink is untyped
    """Raw messages → kind, reason, times and fields; lives in the Python worker, carrying the schemas that the job was submitted with."""

    def __init__(self, *, source: SourcePlan, schemas: SchemaSet, settings: Settings, clock: Clock | None) -> None:
        """Keep what the worker needs; nothing is opened yet.

        Args:
            source: Whose messages come.
            schemas: To read them.
            settings: The limits.
            clock: Tells the watermark; None when another function does.
        """
        self._source = source
        self._schemas = schemas
        self._settings = settings
        self._clock = clock

    def open(self, function_context: FunctionContext) -> None:
        """Called by Flink before the first batch."""
        self._log = logging.getLogger("tidemark")
        self._decoder = decoder(self._source, self._schemas, self._settings)
        if self._clock is not None:
            self._clock.open(function_context)
        group = function_context.get_metric_group()
        self._counters = {name: group.counter(name) for name in ("messages", "markers", "dead_letters", "suspected_seconds")}

    def eval(self, body: pd.Series[Any], partition: pd.Series[int], offset: pd.Series[int]) -> pd.DataFrame:
        """Called by Flink with each Arrow batch."""
        bodies, messages = body.tolist(), partition.to_numpy() != TICK
        decoded = retry_until_available(lambda: self._decoder.decode(bodies), log=self._log)
        kind, reasons = np.where(messages, decoded.kind, np.int8(MARKER)), pd.Series(decoded.reasons, dtype=object)
        reasons[~messages] = None
        self._counters["messages"].inc(int(messages.sum()))
        for name, counted in (("markers", MARKER), ("dead_letters", BAD)):
            self._counters[name].inc(int((kind[messages] == counted).sum()))
        self._counters["suspected_seconds"].inc(int((plausible_as_seconds(decoded.time_ms) & (kind == OK)).sum()))
        event_time = _nullable(decoded.time_ms)
        columns = {"_kind": kind, "_reason": reasons, "_event_time_ms": event_time}
        columns["_partition_watermark_ms"] = (
            _nullable(np.full(len(event_time), NONE)) if self._clock is None else self._clock.eval(partition, offset, event_time)
        )
        return pd.DataFrame(columns | {name: pd.Series(values, dtype=object) for name, values in decoded.columns.items()})


class Clock(ScalarFunction):  # type: ignore[misc]  # pyflink is untyped
    """Where messages lie and the times that they tell → the watermark after each; one instance sees all of a topic."""

    def __init__(self, *, source: SourcePlan, settings: Settings, group: str, least_ms: int) -> None:
        """Keep what the worker needs; nothing is opened yet.

        Args:
            source: Whose messages come.
            settings: Of the broker, and how long silence lasts.
            group: Under which the job commits what it has read.
            least_ms: No watermark is before this.
        """
        self._source = source
        self._group = group
        self._least_ms = least_ms
        self._idle_ms = settings.idle_timeout_ms
        self._kafka = Connection.of(settings)

    def open(self, function_context: FunctionContext) -> None:
        """Called by Flink before the first batch."""
        self._log = logging.getLogger("tidemark")
        log = PartitionLog(self._kafka, self._source.topic, group=self._group)
        self._watermarks = Watermarks(lateness_ms=self._source.lateness_ms, idle_ms=self._idle_ms, log=log)
        group = function_context.get_metric_group()
        # Without a gate, which counts otherwise.
        self._counters = {name: group.counter(name) for name in ("messages", "dead_letters") if self._source.trusted}
        group.gauge("undecided_partitions", lambda: log.undecided)

    def eval(self, partition: pd.Series[int], offset: pd.Series[int], event_time_ms: pd.Series[Any], *_: pd.Series[int]) -> pd.Series[Any]:
        """Called by Flink with each Arrow batch; a row's place in the order is given, so that the planner does not drop the ordering."""
        place, number = partition.to_numpy().astype(np.int64), offset.to_numpy().astype(np.int64)
        nothing = event_time_ms.isna().to_numpy()
        times = np.where(nothing, NONE, event_time_ms.where(~nothing, 0)).astype(np.int64)
        for name, counted in (("messages", place != TICK), ("dead_letters", nothing & (place != TICK))):
            if name in self._counters:
                self._counters[name].inc(int(counted.sum()))
        watermark = retry_until_available(lambda: self._watermarks.advance(place, number, times), log=self._log)
        watermark = np.maximum(watermark, self._least_ms)
        # Told once a batch: in a replay each record would move it, and each move goes through every operator and closes tiles one by one.
        watermark[:-1] = NONE
        return _nullable(watermark)


def _nullable(times: NDArray[np.int64]) -> pd.Series[Any]:
    return pd.Series([None if time == NONE else time for time in times.tolist()], dtype=object)
