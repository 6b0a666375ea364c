"""A Flink job that counts the events of each minute and does not look into them: raw bytes, and the time that Kafka has of each. A limit of what Flink can read."""

from __future__ import annotations

from pyflink.table import EnvironmentSettings, TableEnvironment

from benchmarks.works.features.inputs import TILES, TOPIC
from features.compiler.flink_text import with_options
from infra.settings import Settings


def main() -> None:
    """Submit it."""
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    kafka = {"connector": "kafka", "properties.bootstrap.servers": Settings.load().kafka_servers}
    incoming = kafka | {"topic": TOPIC, "scan.startup.mode": "earliest-offset", "format": "raw"}
    tables.execute_sql(f"""CREATE TABLE `messages` (
  `body` BYTES,
  `time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  WATERMARK FOR `time` AS `time` - INTERVAL '5' SECOND
) WITH (
{with_options(incoming)}
)""")
    tables.execute_sql(f"CREATE TABLE `minutes` (`count` BIGINT) WITH (\n{with_options(kafka | {'topic': TILES, 'format': 'json'})}\n)")
    tables.execute_sql("""INSERT INTO `minutes`
SELECT COUNT(`body`) FROM TABLE(TUMBLE(TABLE `messages`, DESCRIPTOR(`time`), INTERVAL '1' MINUTE))
GROUP BY `window_start`, `window_end`""")
