"""The embedded runtime on the command line: real processes, started, attached to, killed and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, KafkaException, Producer

from features.plan import Plan
from infra import flink, flink_cluster, flink_submission, runtime
from infra.liveness import COLLECTORS
from infra.service import LOOPBACK, marked
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from schemas.errors import DataError, ServiceError
from tests.infra.homes import JOB, PATIENT, completed, endpoints_of, pid_of, settings_of, state_of, up
from tests.infra.test_java import installation
from tests.jobs.cli.test_main import tidemark
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which a detached runtime is up."""
    folder = tmp_path_factory.mktemp("home")
    try:
        started = up(folder)
        assert started.returncode == 0, started.stderr
        yield folder
    finally:
        ended = tidemark("down", home=folder)
        assert ended.returncode == 0, ended.stderr


def test_the_endpoints_lead_to_the_real_services(home: Path) -> None:
    endpoints = endpoints_of(home)
    assert endpoints.keys() == {"kafka", "redis", "flink"}
    with urllib.request.urlopen(f"{endpoints['flink']}/overview") as answer:
        assert json.load(answer)["slots-total"] >= 8
    with redis.Redis.from_url(endpoints["redis"]) as client:
        asked = client.config_get("append*")
        assert (asked["appendonly"], asked["appendfsync"]) == ("yes", "everysec")
    assert admin.broker_setting(Connection(servers=endpoints["kafka"]), "message.max.bytes") == str(8 << 20)


def test_everything_listens_on_loopback_only(home: Path) -> None:
    addresses = {
        connection.laddr.ip
        for process in marked(state_of(home).mark)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in addresses} <= {LOOPBACK, "::1"}


def test_what_a_process_unpacks_lies_in_the_home(home: Path) -> None:
    """Killed ones leave it behind: native libraries, the status page's files, the JVM's own counters."""
    machines = [arguments for process in marked(state_of(home).mark) if "java" in (arguments := process.cmdline())[0]]
    assert len(machines) == 3
    for arguments in machines:
        [folder] = [each.partition("=")[2] for each in arguments if each.startswith("-Djava.io.tmpdir=")]
        assert Path(folder).is_relative_to(home)
        assert "-XX:-UsePerfData" in arguments


def test_what_runs_python_is_loaded_by_the_cluster_and_not_anew_with_every_job(home: Path) -> None:
    (jar,) = (flink_cluster.home() / "opt").glob("flink-python-*.jar")
    machines = [arguments for process in marked(state_of(home).mark) if "org.apache.flink" in " ".join(arguments := process.cmdline())]
    assert [str(jar) in arguments[arguments.index("-cp") + 1].split(os.pathsep) for arguments in machines] == [True, True]
    config = (home / "flink" / "conf" / "config.yaml").read_text()
    (patterns,) = re.findall(r'^classloader\.parent-first-patterns\.additional: "(.+)"$', config, re.MULTILINE)
    with zipfile.ZipFile(jar) as archive:
        classes = [name.replace("/", ".") for name in archive.namelist() if name.endswith(".class") and not name.startswith("META-INF")]
    by_the_job = [name for name in classes if not name.startswith(("org.apache.flink.", "org.slf4j.", *patterns.split(";")))]
    assert len(by_the_job) < len(classes) / 20  # annotations


def test_a_second_up_attaches(home: Path) -> None:
    for arguments in (["up", "--detach"], ["up"]):
        again = tidemark(*arguments, home=home)
        assert (again.returncode, json.loads(again.stdout)) == (0, endpoints_of(home))


def test_status_tells_what_runs(home: Path) -> None:
    told = tidemark("status", home=home)
    assert told.returncode == 0
    assert [line.split()[0] for line in told.stdout.splitlines()[-5:]] == [
        "valkey",
        "flink-jobmanager",
        "flink-taskmanager",
        "kafka",
        "memory",
    ]


def test_the_threads_that_collect_garbage_are_known_by_name_in_every_jvm(home: Path) -> None:
    """By these the supervisor tells a JVM that drowns in garbage."""
    machines = [process.pid for process in marked(state_of(home).mark) if "java" in process.cmdline()[0]]
    assert len(machines) == 3
    for pid in machines:
        names = [comm.read_text() for comm in Path(f"/proc/{pid}/task").glob("*/comm")]
        assert [name for name in names if name.startswith(COLLECTORS)]


def test_jobs_cannot_be_submitted_through_the_web_page(home: Path) -> None:
    request = urllib.request.Request(f"{endpoints_of(home)['flink']}/jars/upload", data=b"", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request):
        pass
    assert refused.value.code == 404
    refused.value.close()


def test_the_broker_takes_what_only_the_gate_may_refuse(home: Path) -> None:
    """A message of 2 MB, an empty one, a tombstone, and one from the year 2100; and it makes no topic by itself."""
    servers = endpoints_of(home)["kafka"]
    topic = f"odd-{uuid.uuid4().hex}"
    producer = Producer({"bootstrap.servers": servers, "message.max.bytes": 8 << 20, "linger.ms": 0, "log_level": 0})
    admin.create(Connection(servers=servers), [topic], partitions=1, replication=1)
    in_2100 = 4_102_444_800_000
    sent = [(bytes(2 << 20), 0), (b"", 0), (None, 0), (b"x", in_2100), (b"y", 1)]
    for value, timestamp in sent:
        producer.produce(topic, value=value, timestamp=timestamp, on_delivery=_must_arrive)
    assert producer.flush(PATIENCE_S) == 0
    received = _read(servers, topic, len(sent))
    assert [value for value, _ in received] == [value for value, _ in sent]
    assert received[3][1] == in_2100
    with pytest.raises(KafkaException):
        _read(servers, f"missing-{uuid.uuid4().hex}", 1)


def _must_arrive(error: object, _: object) -> None:
    assert error is None


def _read(servers: str, topic: str, count: int) -> list[tuple[bytes | None, int]]:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 8 << 20,
            "log_level": 0,
        }
    )
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(count, timeout=PATIENCE_S)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return [(message.value(), message.timestamp()[1]) for message in messages]
    finally:
        consumer.close()


def test_topics_can_be_asked_for_again_and_again(home: Path) -> None:
    admin.ensure(settings_of(home), Plan())
    admin.ensure(settings_of(home), Plan())


def test_a_job_resumes_from_its_newest_checkpoint_wherever_it_was_ended(home: Path) -> None:
    settings = settings_of(home)
    cluster = flink.Cluster(settings.flink_url)
    first = flink_submission.submit(JOB, [], name="counting", settings=settings)
    with pytest.raises(ServiceError, match=r"job counting is running already \(id [0-9a-f]{32}\); end it with `tidemark cancel counting`"):
        flink_submission.submit(JOB, [], name="counting", settings=settings)
    eventually("it counts", lambda: max(_numbers(home), default=0) > 30)
    eventually("a checkpoint", lambda: completed(cluster, first) > 0)

    os.kill(pid_of(home, "flink-taskmanager"), signal.SIGKILL)
    eventually("another TaskManager", lambda: cluster.job(first).tasks == (1, 1) and cluster.job(first).restarts > 0)
    resumed = completed(cluster, first)
    eventually("checkpoints of the resumed job", lambda: completed(cluster, first) > resumed + 1)

    listed = tidemark("jobs", home=home).stdout
    assert listed.split("counting")[1].split()[:2] == [first, "RUNNING"]
    assert tidemark("cancel", "counting", home=home).returncode == 0
    before = _numbers(home)
    second = flink_submission.submit(JOB, [], name="counting", settings=settings)
    eventually("it counts again", lambda: len(_numbers(home)) > len(before))
    assert 30 < _numbers(home)[len(before)] <= max(before) + 3, "it goes on where the checkpoint was, and does not start at 1"
    cluster.cancel(second)
    assert cluster.running("counting") is None


def _numbers(home: Path) -> list[int]:
    return [int(line[3:-1]) for line in (home / "logs" / "flink-taskmanager.out").read_text().splitlines() if line.startswith("+I[")]


def test_a_driver_that_refuses_is_quoted(home: Path) -> None:
    with pytest.raises(DataError, match=r"^job never: not submitted: this job never starts \(log: .*submit-never\.log\)$"):
        flink_submission.submit(JOB, ["never"], name="never", settings=settings_of(home))


def test_submitting_something_else_than_a_job_is_refused(home: Path) -> None:
    done = tidemark("submit", "sink", home=home)
    assert (done.returncode, done.stderr) == (2, "tidemark: no job is named 'sink'; there are features, materialize, score\n")


def test_a_supervisor_that_is_killed_takes_all_with_it_and_the_data_stays(home: Path) -> None:
    servers = endpoints_of(home)["kafka"]
    topic = f"kept-{uuid.uuid4().hex}"
    admin.create(Connection(servers=servers), [topic], partitions=1, replication=1)
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    producer.produce(topic, value=b"kept", on_delivery=_must_arrive)
    assert producer.flush(PATIENCE_S) == 0
    flink_submission.submit(JOB, [], name="orphaned", settings=settings_of(home))
    before = state_of(home)
    eventually("the job's Python worker", lambda: len(marked(before.mark)) > len(before.services))
    os.kill(before.pid, signal.SIGKILL)
    eventually("all have ended", lambda: not marked(before.mark))

    told = tidemark("status", home=home)
    assert (told.returncode, told.stderr) == (
        3,
        f"tidemark: the runtime in {home} has ended without a goodbye; `tidemark up` cleans up and starts it again\n",
    )
    racing = [_popen("up", "--detach", home=home) for _ in range(2)]
    printed = [json.loads(process.communicate(timeout=PATIENCE_S)[0]) for process in racing]
    assert printed[0] == printed[1] == endpoints_of(home)
    assert _read(endpoints_of(home)["kafka"], topic, 1)[0][0] == b"kept"


def _popen(*arguments: str, home: Path, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli.main", *arguments]
    return subprocess.Popen(command, env=os.environ | {"TIDEMARK_HOME": str(home)} | PATIENT | environ, stdout=subprocess.PIPE, text=True)


def test_down_leaves_no_process(tmp_path: Path) -> None:
    """Not even those of a runtime that is still starting, or was never there. Here no Java ever gets ready."""
    java = installation(tmp_path / "jdk", "21", 'MODULES="java.base jdk.incubator.vector"')
    (java / "bin" / "java").write_text('#!/bin/sh\ncase "$*" in *StorageTool*) exit 0 ;; *) exec sleep 3600 ;; esac\n')
    starting = _popen("up", "--detach", home=tmp_path, JAVA_HOME=str(java))
    eventually("it is starting", (tmp_path / "runtime.json").exists)
    mark = state_of(tmp_path).mark
    assert len(marked(mark)) >= 3  # Valkey writes over its environment
    assert tidemark("down", home=tmp_path).stdout == "ended\n"
    starting.communicate(timeout=PATIENCE_S)
    assert starting.returncode == 3
    assert marked(mark) == []
    assert not (tmp_path / "endpoints.json").exists()
    assert tidemark("down", home=tmp_path).stdout == "nothing to end\n"


def test_a_runtime_that_is_not_detached_dies_with_the_command(tmp_path: Path) -> None:
    foreground = _popen("up", home=tmp_path)
    assert foreground.stdout is not None
    assert foreground.stdout.readline() == "{\n"
    mark = state_of(tmp_path).mark
    assert marked(mark)
    foreground.kill()
    foreground.communicate()
    eventually("all have ended", lambda: not marked(mark))
    eventually("the lock is free", lambda: not settings_of(tmp_path).runtime_is_alive)


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        refused = up(tmp_path, TIDEMARK_KAFKA_PORT=str(port))
    assert refused.returncode == 3
    advice = "end what listens there, or set TIDEMARK_KAFKA_PORT to another port (0 takes a free one)"
    assert refused.stderr == f"tidemark: kafka: port {port} is taken; {advice}\n"


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = up(tmp_path / "file" / "home")
    assert refused.returncode == 2
    assert (
        refused.stderr
        == f"tidemark: {tmp_path}/file/home: cannot be written: Not a directory; set TIDEMARK_HOME to a folder you may write\n"
    )


def test_a_service_that_does_not_start_is_quoted_with_its_log(tmp_path: Path) -> None:
    """Here the broker, whose data folder belongs to another cluster."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")
    failed = up(tmp_path)
    assert failed.returncode == 3
    assert failed.stderr.startswith("tidemark: kafka: ended with exit code 1 while starting: ")
    assert failed.stderr.endswith(f"(log: {tmp_path}/logs/kafka.log)\n") or failed.stderr.endswith(f"(log: {tmp_path}/logs/kafka.out)\n")
    assert len(failed.stderr.splitlines()) == 1
    assert runtime.running(settings_of(tmp_path)) is None


def test_a_broker_that_is_not_there_is_one_clear_line_in_time(tmp_path: Path, nobody: str) -> None:
    settings = Settings.load(environ={"TIDEMARK_KAFKA": nobody}, folder=tmp_path)
    with pytest.raises(ServiceError, match=rf"^kafka {nobody}: no answer within 8 s"):
        admin.ensure(settings, Plan())
