"""Events to tiles: the job of `tidemark submit features [SOURCE…]`.

source topics ─raw bytes─▶ gate ─▶ dead letters · late · archive (Parquet) · `tidemark.tiles.<view>` · `tidemark.frontier`

The gate decodes and tells the time: the watermark that it puts beside each record is the one that decides lateness and closes windows. Of a trusted
source Flink decodes, and a clock alone tells the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, StatementSet, StreamTableEnvironment
from pyflink.table.udf import udf

from features.catalog import load
from features.compiler import flink, flink_gate, flink_tiles
from features.compiler.declarations import did_you_mean
from features.compiler.flink_gate import Reading
from features.plan import FRONTIER_TOPIC, Plan, SourcePlan, ViewPlan
from features.sql_text import quote
from infra.settings import Settings
from jobs.control.deployed import Deployed, record_features_job, refuse_other_graph, refuse_other_tiles
from jobs.flink import graph, single_view, start_offsets
from jobs.flink.gate import Clock, Gate
from jobs.flink.pipeline import CHECKPOINT_TIMEOUT_MS
from jobs.flink.single_view import consumer_group
from jobs.flink.start_offsets import Beginning
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.decoding import decoder
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet

WATERMARK_INTERVAL_MS = 50  # how often the watermark is told downstream: a part of every tile's delay

_TYPES = {
    "TINYINT": DataTypes.TINYINT(),
    "BIGINT": DataTypes.BIGINT(),
    "DOUBLE": DataTypes.DOUBLE(),
    "BOOLEAN": DataTypes.BOOLEAN(),
    "STRING": DataTypes.STRING(),
    "BYTES": DataTypes.BYTES(),
}


class Job:
    """The tables, functions and statements of one run."""

    def __init__(self, *, plan: Plan, sources: Sequence[SourcePlan], settings: Settings, beside: bool = False) -> None:
        """Take what it is about; nothing is started yet.

        Args:
            plan: Whose views are computed.
            sources: Which are read.
            settings: Of the services.
            beside: Tiles alone are written: another job of the source writes its archive, dead letters and late events.
        """
        self._plan = plan
        self._beside = beside
        self._sources = sources
        self._beginnings = {source.name: Beginning() for source in sources}
        self._settings = settings = settings.without_secrets()
        self._schemas = SchemaSet.load(settings.schemas or SHIPPED)
        for source in sources:
            decoder(source, self._schemas, settings)

    def submit(self) -> None:
        """Start the job on the cluster that runs this driver."""
        statements = self.statements()
        graph.submit(statements, self._environment, self._settings, reads=[source.topic for source in self._sources])

    def statements(self) -> StatementSet:
        """Everything that the job writes, as one graph."""
        configuration = Configuration()
        for name, value in self._configuration().items():
            configuration.set_string(name, value)
        self._environment = StreamExecutionEnvironment.get_execution_environment(configuration)
        self._tables = StreamTableEnvironment.create(self._environment)
        self._tables.get_config().set_local_timezone("UTC")
        self._written = self._tables.create_statement_set()
        # One subtask, so that the closings of a view stay in order.
        self._tables.execute_sql(flink.closings_table("closings", options=self._avro_sink(FRONTIER_TOPIC) | {"sink.parallelism": "1"}))
        for source in self._sources:
            self._add_source(source, self._plan.views_of(source.name))
        return self._written

    def _add_source(self, source: SourcePlan, views: Sequence[ViewPlan]) -> None:
        tables, sizes = self._tables, sorted({view.tile_ms for view in views})
        reading = self._reading(source)
        tables.execute_sql(flink_gate.raw_table(source, reading, options=self._raw_options(source)))
        tables.execute_sql(flink_gate.heartbeats_table(source))
        messages = self._stream(flink_gate.messages_query(source, reading))
        self._relation(flink_gate.messages(source), messages, flink_gate.message_columns(reading))
        least_ms, gates = self._beginnings[source.name].watermark_ms, self._settings.parallelism
        clock = Clock(source=source, settings=self._settings, group=self._group(source), least_ms=least_ms)
        tables.create_temporary_function(flink_gate.clock(source), udf(clock, result_type=DataTypes.BIGINT(), func_type="pandas"))
        tables.create_temporary_function(flink_gate.gate(source), self._gate(source, clock if gates == 1 else None))
        checked, columns = self._stream(flink_gate.gate_query(source, reading, gates=gates)), flink_gate.checked_columns(source, reading)
        self._relation(flink_gate.checked(source), checked, columns, time="_time", watermark=flink_gate.WATERMARK)
        for size in sizes:
            progress = self._stream(flink.progress_query(source, size, after_ms=least_ms))
            self._relation(flink.progress(source, size), progress, {"_progress": "TIMESTAMP_LTZ(3)"}, time="_progress")
            counted = self._stream(flink.events_query(source, size))
            self._relation(flink.events(source, size), counted, flink.events_columns(source), time="_time")

        if not self._beside:
            self._keep_events(source, reading, views)
        for view in views:
            self._relation(flink.tiles(view), self._stream(flink_tiles.tile_query(view)), flink.tile_relation_columns(view), time="_closed")
            sink = f"sink_{view.name}"
            tables.execute_sql(flink.tiles_table(sink, view, options=self._avro_sink(view.tiles_topic)))
            self._write(sink, flink.tile_sink_query(view))
            self._write("closings", flink.closing_sink_query(view))

    def _reading(self, source: SourcePlan) -> Reading:
        return flink_gate.reading(source, self._schemas.current(source.schema))

    def _keep_events(self, source: SourcePlan, reading: Reading, views: Sequence[ViewPlan]) -> None:
        tables = self._tables
        letters = {"key.format": "raw", "key.fields": "_key", "value.fields-include": "EXCEPT_KEY"}
        dead, late, archive = (f"{kind}_{source.name}" for kind in ("dead_letters", "late", "archive"))
        archived = self._beginnings[source.name].archived
        bodies = self._sink(source.dead_letter_topic) | letters | {"value.format": "raw"}
        tables.execute_sql(flink.letters_table(dead, reading.refused, options=bodies))
        self._write(dead, flink.dead_letter_query(source, reading, archived))
        tables.execute_sql(flink.archive_table(archive, source, options=self._archive_options(source)))
        self._write(archive, flink.archive_query(source, archived))
        if views:
            values = self._sink(source.late_topic) | letters | dict(reading.options)
            tables.execute_sql(flink.letters_table(late, reading.letter, options=values))
            self._write(late, flink.late_query(source, reading, views, archived))

    def _group(self, source: SourcePlan) -> str:
        return consumer_group(source, self._plan.views_of(source.name) if self._beside else ())

    def begin(self, declared: Plan) -> None:
        """Settle where each source is begun with, and tell Kafka.

        Args:
            declared: All views, also those that other jobs compute.

        Raises:
            DataError: The archive cannot be read.
            ServiceError: Kafka or the store does not answer.
        """
        for source in self._sources:
            if _has_state():
                self._beginnings[source.name] = start_offsets.resumed(self._settings, source)
            else:
                self._beginnings[source.name] = found = start_offsets.fresh(self._settings, source, declared.views_of(source.name))
                start_offsets.commit(self._settings, source, self._group(source), found)

    def _gate(self, source: SourcePlan, clock: Clock | None) -> Any:
        fields = [DataTypes.FIELD(name, _TYPES[type_]) for name, type_ in flink_gate.gate_columns(source).items()]
        gate = Gate(source=source, schemas=self._schemas, settings=self._settings, clock=clock)
        return udf(gate, result_type=DataTypes.ROW(fields), func_type="pandas")

    def _stream(self, query: str) -> DataStream:
        """Compute a relation once, as a stream: the planner neither looks through it nor prunes it differently for each reader.

        Rows stay in Flink's internal form, which Python's own `to_data_stream` would turn into objects and back: a fifth of the throughput or more.
        """
        table = self._tables.sql_query(query)
        internal = get_gateway().jvm.Class.forName("org.apache.flink.table.data.RowData")
        rows = table._j_table.getResolvedSchema().toPhysicalRowDataType().bridgedTo(internal)
        return DataStream(self._tables._j_tenv.toDataStream(table._j_table, rows))

    def _relation(
        self, name: str, stream: DataStream, columns: Mapping[str, str], *, time: str | None = None, watermark: str = "SOURCE_WATERMARK()"
    ) -> None:
        """Name a stream; where it has a time, its watermarks are those that flow in it, or told by an expression over each row."""
        schema = Schema.new_builder()
        for column, type_ in columns.items():
            schema.column(column, type_)
        if time is not None:
            schema.watermark(time, watermark)
        self._tables.create_temporary_view(name, self._tables.from_data_stream(stream, schema.build()))

    def _write(self, table: str, query: str) -> None:
        self._written.add_insert_sql(f"INSERT INTO {quote(table)}\n{query}")

    def _raw_options(self, source: SourcePlan) -> dict[str, str]:
        keyed = {"key.format": "raw", "key.fields": "_key", "value.fields-include": "EXCEPT_KEY"}
        return Connection.of(self._settings).source_table([source.topic], group=self._group(source)) | keyed

    def _sink(self, topic: str) -> dict[str, str]:
        return Connection.of(self._settings).sink_table([topic], linger_ms=5)

    def _avro_sink(self, topic: str) -> dict[str, str]:
        keyed = {"key.format": "raw", "key.fields": "_key", "value.fields-include": "EXCEPT_KEY"}
        return self._sink(topic) | keyed | {"value.format": "avro", "value.avro.timestamp_mapping.legacy": "false"}

    def _archive_options(self, source: SourcePlan) -> dict[str, str]:
        return {
            "connector": "filesystem",
            "path": (self._settings.home / "archive" / source.name).as_uri(),
            "format": "parquet",
            # A writer holds a row group in memory: 16 MiB rather than 128, for each subtask of each source; and what readers pass over by its times.
            "parquet.block.size": str(16 << 20),
            "parquet.utc-timezone": "true",
            "parquet.write.int64.timestamp": "true",
            "parquet.timestamp.time.unit": "millis",
        }

    def _configuration(self) -> dict[str, str]:
        """What this job needs beside the configuration of the client that submits it."""
        return {
            "execution.checkpointing.timeout": f"{CHECKPOINT_TIMEOUT_MS}ms",
            "pipeline.auto-watermark-interval": f"{WATERMARK_INTERVAL_MS}ms",
            # Operators of one task hand rows on as they are: those that keep one, as those with Python functions do, copy it themselves.
            "pipeline.object-reuse": "true",
        }


def chosen(plan: Plan, names: Sequence[str]) -> tuple[SourcePlan, ...]:
    """The sources of these names; without names all that a view reads.

    Raises:
        SettingError: No such source.
    """
    for name in names:
        if name not in plan.sources:
            raise SettingError(f'features: no source "{name}"; {did_you_mean(name, plan.sources)}')
    return tuple(plan.sources[name] for name in dict.fromkeys(names) or sorted(plan.sources) if names or plan.views_of(name))


def _has_state() -> bool:
    """Whether this driver was told of a checkpoint to go on from."""
    environment = StreamExecutionEnvironment.get_execution_environment()._j_stream_execution_environment
    return bool(environment.getConfiguration().toMap().containsKey("execution.state-recovery.path"))


def left_out(applied: Deployed, sources: Sequence[SourcePlan], running: Set[str]) -> list[str]:
    """Sources that the job of all sources has no view of any more, and no other job that runs is named after."""
    known = {name for name in applied.computed if "/" not in name}
    named = {part for name in running for part in name.split("-")[1:]}
    return sorted(known - {source.name for source in sources} - named)


def main(arguments: Sequence[str]) -> int:
    """The driver, run by Flink's client."""
    parser = argparse.ArgumentParser(prog="tidemark submit features")
    parser.add_argument("source", nargs="*", help="Sources by name; all that a view reads when none is given.")
    parser.add_argument("--only", metavar="VIEW", help="Only this view, beside the job of its source.")
    given = parser.parse_args(arguments)
    settings = Settings.load()
    declared = load(settings.definitions, settings.schemas)
    plan = single_view.only(declared, given.only) if given.only else single_view.without_others(declared, settings)
    sources = chosen(plan, given.source)
    views = [view for source in sources for view in plan.views_of(source.name)]
    job = Job(plan=plan, sources=sources, settings=settings, beside=given.only is not None)
    refuse_other_tiles(settings, views)
    if _has_state():
        refuse_other_graph(settings, views, [source.name for source in sources], only=given.only)
    admin.ensure(settings, declared)
    job.begin(declared)
    job.submit()
    idle = () if given.source or given.only else left_out(Deployed.read(settings), sources, single_view.running(settings))
    record_features_job(settings, [*(source.name for source in sources), *idle], views, only=given.only)
    return 0
