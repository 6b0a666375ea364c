"""Writes the topics' records with our materializer and nothing around it: `python -m … SERVERS ADDRESS PID INPUTS OUT`; PID is the store's.

Read topic by topic beforehand, and so, like the job's, its batches are of one view and few partitions, and have several tiles of a key.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

from benchmarks.online.inputs import plan
from benchmarks.online.store import fill
from benchmarks.works.online_write import ours
from features.plan import FRONTIER_TOPIC
from inference.online.connection import connect
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages


def main(servers: str, address: str, pid: int, inputs: Path, out: Path) -> None:
    """Fill the store with the history, write what comes after it, tell what that took, and read back all that is stored."""
    store, server = connect(address), psutil.Process(pid)
    fill(plan(), store, inputs)
    sources = [FRONTIER_TOPIC, *(view.tiles_topic for view in plan().views.values())]
    records = [(topic, message.value()) for topic in sources for message in messages(Connection(servers=servers), topic)]
    topics, bodies = [topic for topic, _ in records], [body for _, body in records]
    job = ours.materializer(store)
    tiles, began = 0, (time.perf_counter(), time.process_time(), _computed(server))
    for first in range(0, len(bodies), ours.BATCH):
        tiles += job.write(topics[first : first + ours.BATCH], bodies[first : first + ours.BATCH]).tiles
    ended = (time.perf_counter(), time.process_time(), _computed(server))
    names = ("seconds", "cpu_seconds", "store_cpu_seconds")
    took = {name: after - before for name, before, after in zip(names, began, ended, strict=True)}
    (out / "told.json").write_text(json.dumps({"tiles": tiles, **took}))
    ours.read_back(store, inputs, out)


def _computed(process: psutil.Process) -> float:
    """In seconds."""
    used = process.cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
