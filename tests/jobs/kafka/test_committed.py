"""Nothing of ours reads what is not committed, and nothing reaches Kafka but through `jobs.kafka.connection`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import jobs
from features.catalog import load
from features.compiler import flink_gate
from features.plan import Plan
from infra.settings import Settings
from jobs import features, materialize
from jobs.flink.pipeline import Pipeline
from jobs.kafka import committed, connection
from jobs.kafka.committed import End
from jobs.kafka.connection import Connection
from jobs.kafka.partition_log import OpenTransactions
from tests import shop

ASKS = {"Consumer", "Producer", "AdminClient"}
"""Clients of Kafka."""
ENDS = {"list_offsets", "get_watermark_offsets"}
"""Calls that ask for the ends of partitions."""
OF_THE_BROKER = {"message.max.bytes"}
"""A setting of the broker has the same name, and is asked for."""
BESIDE = {
    "acks",
    "client.id",
    "fetch.max.bytes",
    "max.poll.interval.ms",
    "metadata.broker.list",
    "properties.acks",
    "request.timeout.ms",
    "retries",
    "sasl.password",
    "session.timeout.ms",
    "transactional.id",
}


def modules() -> Iterator[Path]:
    yield from sorted(Path(jobs.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.stem)
def test_clients_of_kafka_are_made_in_one_place_and_their_ends_asked_in_another(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            for names, place in ((ASKS, connection), (ENDS, committed)):
                assert called not in names or path == Path(str(place.__file__)), (
                    f"{path.name}:{node.lineno} calls {called}; {place.__name__} does that"
                )


@pytest.mark.parametrize("path", [path for path in modules() if path != Path(connection.__file__)], ids=lambda path: path.stem)
def test_kafkas_client_configuration_is_written_in_one_place(path: Path) -> None:
    known = keys_of_clients()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value.removeprefix("properties.") not in known, (
                f"{path.name}:{node.lineno} says {node.value!r}; jobs.kafka.connection does that"
            )


def keys_of_clients() -> set[str]:
    """Every key that is written in `jobs.kafka.connection`, and those that a client might be given beside."""
    tree = ast.parse(Path(connection.__file__).read_text())
    keys = (key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys)
    written = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    assert {"bootstrap.servers", "group.id", "security.protocol", "log_level", "isolation.level"} <= written
    return {key for key in written if "." in key or "_" in key} - OF_THE_BROKER | BESIDE


def test_a_consumer_reads_what_is_committed_and_commits_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(connection, "Consumer", asked.append)
    Connection(servers="127.0.0.1:1").consumer("g", lost="error", fetch={"isolation.level": "read_uncommitted"})
    (options,) = asked
    assert (options["isolation.level"], options["auto.offset.reset"], options["enable.auto.commit"]) == ("read_committed", "error", False)


def of_features(plan: Plan, *, beside: bool) -> Iterator[str]:
    settings = Settings(home=Path("unused").absolute(), kafka="127.0.0.1:1", schemas=shop.SCHEMAS if "clicks" in plan.sources else None)
    sources = [source for source in plan.sources.values() if plan.views_of(source.name)]
    job = features.Job(plan=plan, sources=sources, settings=settings, beside=beside)
    for source in sources:
        for trusted in (False, True):
            read = replace(source, trusted=trusted)
            yield flink_gate.raw_table(read, job._reading(read), options=job._raw_options(read))


def of_pipelines() -> Iterator[str]:
    settings = Settings(home=Path("unused").absolute(), kafka="127.0.0.1:1", schemas=shop.SCHEMAS)
    for generation in (1, 2):  # the second is what `rebuild` starts
        yield materialize.pipeline(settings, shop.plan(), generation=generation).tables(Connection(servers="127.0.0.1:1"))[0]
    function = materialize.pipeline(settings, shop.plan()).function
    for transactions_ms in (None, 60_000):  # as `score` is delivered
        job = Pipeline(name="score", topics=("offers",), answers="buy.predictions", function=function, transactions_ms=transactions_ms)
        yield job.tables(Connection(servers="127.0.0.1:1"))[0]


def tables() -> list[str]:
    found = [*of_pipelines()]
    for plan in (load(None, None), shop.plan()):
        for beside in (False, True):
            found += of_features(plan, beside=beside)
    return found


@pytest.mark.parametrize("table", tables())
def test_every_flink_source_reads_what_is_committed(table: str) -> None:
    assert "'connector' = 'kafka'" in table
    assert "'properties.isolation.level' = 'read_committed'" in table


def test_a_transaction_that_is_open_for_long_is_told_now_and_then() -> None:
    seen = OpenTransactions("clicks")
    held = {0: End(decided=5, head=5), 1: End(decided=7, head=1_009)}
    assert [seen.see(held, second) for second in (0.0, 29.0)] == [[], []]
    assert len(seen) == 1
    said = "topic clicks, partition 1: a transaction has been open for 30 s; 1,002 records from offset 7 on wait for it, and event time with them"
    assert seen.see(held, 30.0) == [said]
    assert [len(seen.see(held, second)) for second in (31.0, 329.0, 330.0, 331.0)] == [0, 0, 1, 0]
    another = {1: End(decided=8, head=1_010)}
    assert [len(seen.see(another, second)) for second in (332.0, 361.0, 362.0)] == [0, 0, 1]
    assert seen.see({1: End(decided=1_011, head=1_011)}, 363.0) == []
    assert len(seen) == 0
