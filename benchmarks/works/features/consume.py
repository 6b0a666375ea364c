"""Two consumers, each of one partition, that decode every event and count: `python consume.py SERVERS TOPIC SCHEMA.avsc OUT FOLDER`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from fastavro import schemaless_reader
from fastavro.schema import load_schema

PROCESSES = 2
HEADER_BYTES = 10


def main(servers: str, topic: str, schema: str, out: str, began: Path, partition: int) -> None:
    """Write how many there were to `out`, and the time of the first to a file."""
    own, count, ended = load_schema(schema), 0, False
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "consume", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while not ended:
        for message in consumer.consume(5_000, timeout=0.5):
            error = message.error()
            if error is None:
                if not count:
                    began.write_text(str(time.time()))
                schemaless_reader(io.BytesIO((message.value() or b"")[HEADER_BYTES:]), own, None)
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                ended = True
            else:
                raise SystemExit(error.str())
    consumer.close()
    producer = Producer({"bootstrap.servers": servers})
    producer.produce(out, json.dumps({"count": count}))
    producer.flush()


if __name__ == "__main__":
    servers, topic, schema, out, folder, *partition = sys.argv[1:]
    if partition:
        main(servers, topic, schema, out, Path(folder) / f"began-{partition[0]}", int(partition[0]))
    else:
        several = [subprocess.Popen([sys.executable, *sys.argv, str(number)]) for number in range(PROCESSES)]
        sys.exit(max(process.wait() for process in several))
