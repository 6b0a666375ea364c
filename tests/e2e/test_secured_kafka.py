"""A broker of one's own that wants TLS, a certificate and a password, and a store that wants one: events go through them, and no password is seen anywhere."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inference.online.redis.connection import connect
from infra import flink, runtime
from infra.runtime import RuntimeState
from infra.service import marked
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.slices import Slice
from jobs.spark.kafka_partition_reader import TopicReader
from schemas.masking import Secret
from tests import shop
from tests.e2e.command_line import tidemark
from tests.e2e.secured_broker import secured_broker
from tests.shop import NOON
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e

USER, PASSWORD = "river", 'hun"ter2\\of=${river}'  # all that has a meaning in JAAS, in Java's properties and for its providers
TRACE = "ter2"
VIEW = "user_clicks"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Settings]:
    with secured_broker(tmp_path, USER, PASSWORD) as broker:
        environ = {
            "HOME": str(tmp_path / "home"),
            "DEFINITIONS": str(shop.DEFINITIONS),
            "SCHEMAS": str(shop.SCHEMAS),
            "KAFKA": broker.servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA": str(broker.ca),
            "KAFKA_SSL_CERTIFICATE": str(broker.certificate),
            "KAFKA_SSL_KEY": str(broker.key),
            "CHECKPOINT_INTERVAL": "2s",
            "IDLE_TIMEOUT": "1s",
            "START_TIMEOUT": f"{PATIENCE_S:.0f}s",
            "JIT": "quick",
        }
        settings = Settings.load(environ={f"TIDEMARK_{name}": value for name, value in environ.items()}, folder=tmp_path)
        with runtime.started(settings):
            store: Any = connect(settings.redis_url)
            store.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
            where = settings.redis_url.removeprefix("redis://")
            yield replace(settings, redis=f"redis://{USER}:{quote(PASSWORD, safe='')}@{where}")


def test_events_go_through_a_secured_broker_and_store_and_their_passwords_are_seen_nowhere(own: Settings, tmp_path: Path) -> None:
    clicks = [{"event_time": NOON + at, "user": "ann", "shop": 7, "shelf": "top", "amount": 1.0} for at in range(5)]
    pq.write_table(pa.Table.from_pylist(clicks, schema=shop.schemas().current("click").arrow), tmp_path / "clicks.parquet")
    tidemark(own, "submit", "features", "clicks")
    tidemark(own, "submit", "materialize")
    tidemark(own, "publish", "clicks", str(tmp_path / "clicks.parquet"))
    reached = tidemark(own, "frontier", VIEW, "--wait", "2013-10-01T12:01Z", "--timeout", f"{PATIENCE_S:.0f}")
    assert "2013-10-01T12:01" in reached
    (tile,) = [json.loads(line) for line in tidemark(own, "read", shop.plan().views[VIEW].tiles_topic).splitlines()]
    assert tile["count"] == 5 and tile["user"] == "ann"

    assert sum(row["records"] for row in as_sparks_workers_read(own, tmp_path)) == 5 + 2, "events, and a marker in each partition"

    secrets = own.home / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    kept = {file.name: file.read_text() for file in secrets.iterdir()}
    assert kept["kafka-password"] == PASSWORD and TRACE in kept["kafka-login.properties"] and kept["redis-url"] == own.redis
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o600}

    said = [
        *rest(own),
        tidemark(own, "compile"),
        subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout,
        *environments(own),
    ]
    assert [text[:200] for text in said if TRACE in text] == []
    files = [file for file in own.home.rglob("*") if file.is_file() and secrets not in file.parents]
    assert any("checkpoints" in file.parts for file in files) and any(file.suffix == ".log" for file in files)
    assert [file for file in files if TRACE.encode() in bytes_of(file)] == []

    wrong = replace(own, home=tmp_path / "other", kafka_sasl_password=Secret("wrong"))
    told = tidemark(wrong, "read", "clicks", code=3)
    assert "invalid credentials" in told and told.count("\n") == 1 and "wrong" not in told
    shutil.rmtree(tmp_path / "other")


def environments(settings: Settings) -> Iterator[str]:
    """Of the runtime's processes, Python workers too."""
    state = RuntimeState.read(settings)
    assert state is not None
    for process in marked(state.mark):
        with contextlib.suppress(psutil.Error):
            yield str(process.environ())


def bytes_of(file: Path) -> bytes:
    """What is in a file; nothing where it has gone meanwhile, as the checkpoints of a job that runs do."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def as_sparks_workers_read(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """History from Kafka, by what the driver hands on to them."""
    source = shop.plan().sources["clicks"]
    extents = admin.extents(Connection.of(settings), [source.topic])[source.topic]
    slices = [
        Slice(source=source.name, topic=source.topic, partition=number, first=first, end=end) for number, (first, end) in extents.items()
    ]
    reader = TopicReader(
        slices=tuple(slices),
        sources={source.name: source},
        schemas=shop.schemas(),
        settings=settings.without_secrets(),
        folder=str(folder),
    )
    handed_on = pickle.dumps(reader)
    assert TRACE.encode() not in handed_on
    numbers = pa.RecordBatch.from_pydict({"slice": list(range(len(slices)))})
    return [row for told in pickle.loads(handed_on).read([numbers]) for row in told.to_pylist()]


def rest(settings: Settings) -> Iterator[str]:
    """What anybody may ask the cluster."""
    jobs = [f"/jobs/{job.id}{part}" for job in flink.Cluster(settings.flink_url).jobs() for part in ("", "/plan", "/config", "/exceptions")]
    for path in ("/jobmanager/config", "/taskmanagers", *jobs):
        with urllib.request.urlopen(settings.flink_url + path, timeout=PATIENCE_S) as answer:
            yield answer.read().decode()
