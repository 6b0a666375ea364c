"""Nothing of ours reads what is not committed, but for the time of it, and nothing reaches Kafka but through `jobs.kafka.connection`."""

from __future__ import annotations

import ast
import pickle
import re
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
from jobs.kafka import committed, connection, reader
from jobs.kafka.connection import Connection
from schemas.errors import SettingError
from tests import shop

ASKS = {"Consumer", "Producer", "AdminClient"}
"""Clients of Kafka."""
ENDS = {"list_offsets", "get_watermark_offsets"}
"""Calls that ask for the ends of partitions."""
READS = {"consume", "incremental_assign"}
"""Calls of a consumer's loop."""
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
def test_clients_of_kafka_are_made_in_one_place_and_their_loop_is_one(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            for names, place in ((ASKS, connection), (ENDS, committed), (READS, reader)):
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
    Connection(servers="127.0.0.1:1").consumer("g", undecided=True)
    assert (asked[1]["isolation.level"], asked[1]["enable.auto.commit"]) == ("read_uncommitted", False), "for who asks about transactions"


def test_nobody_but_who_asks_about_transactions_is_given_what_they_have_not_decided() -> None:
    asking = {path.stem for path in modules() if re.search(r"\bundecided=True\b", path.read_text())}
    assert asking == {"open_transactions"}


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


PASSWORD = 'hun"ter2\\of'


@pytest.fixture
def secured(tmp_path: Path) -> Settings:
    """Of a broker that wants all that there is."""
    for name in ("ca.pem", "own.pem"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    environ = {
        "HOME": str(tmp_path / "home"),
        "KAFKA": "127.0.0.1:1",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "river",
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_SSL_CA": "ca.pem",
        "KAFKA_SSL_CERTIFICATE": "own.pem",
        "KAFKA_SSL_KEY": "key.pem",
    }
    return Settings.load(environ={f"TIDEMARK_{name}": value for name, value in environ.items()}, folder=tmp_path)


def test_pythons_clients_are_told_the_secrets(secured: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[dict[str, object]] = []
    for kind in ("Consumer", "Producer", "AdminClient"):
        monkeypatch.setattr(connection, kind, made.append)
    for settings in (secured, secured.without_secrets()):
        kafka = Connection.of(settings)
        kafka.admin(1.0), kafka.producer(), kafka.consumer("g")
    for options in made:
        assert {name: options[name] for name in ("security.protocol", "sasl.mechanism", "sasl.username", "sasl.password")} == {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "river",
            "sasl.password": PASSWORD,
        }
        assert [options[f"ssl.{name}.location"] for name in ("ca", "certificate", "key")] == [
            str(tmp_path / file) for file in ("ca.pem", "own.pem", "key.pem")
        ]
    assert len(made) == 6


def test_flinks_tables_are_told_where_the_secrets_are(secured: Settings) -> None:
    kafka = Connection.of(secured)
    for options in (kafka.source_table(["t"], group="g"), kafka.sink_table(["t"], linger_ms=0)):
        assert "ter2" not in str(options)
        file = secured.home / "secrets" / "kafka-login.properties"
        assert options["properties.sasl.jaas.config"] == f"${{file:{file}:sasl.jaas.config}}"
        assert file.stat().st_mode & 0o777 == 0o600
        # A quote and a backslash are escaped for JAAS, and what escapes them for a file of properties.
        assert file.read_text().endswith("""PlainLoginModule required username="river" password="hun\\\\"ter2\\\\\\\\of";\n""")


def test_a_key_that_java_cannot_read_is_refused_before_a_job_is_there(secured: Settings, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(
        SettingError, match=r"^TIDEMARK_KAFKA_SSL_KEY: .*key\.pem: expected a private key in PKCS#8, not encrypted; `openssl"
    ):
        Connection.of(secured).source_table(["t"], group="g")


@pytest.mark.parametrize("name", ["a:b", "a}b"])
def test_a_path_that_java_would_take_apart_is_refused(secured: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    for changed in (replace(secured, home=tmp_path / f"home-{name}"), replace(secured, kafka_ssl_certificate=tmp_path / name)):
        with pytest.raises(SettingError, match="a path with a colon or a brace is none that Kafka's Java client can read secrets from"):
            Connection.of(changed).table(["t"])


def test_a_file_that_is_not_there_is_told_by_its_setting(secured: Settings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(SettingError, match=r"^TIDEMARK_KAFKA_SSL_CA: .*ca\.pem cannot be read: No such file or directory$"):
        Connection.of(secured).admin(1.0)
    kafka = replace(Connection.of(secured), password=tmp_path / "none", ca=None)
    with pytest.raises(SettingError, match=r"^TIDEMARK_KAFKA_SASL_PASSWORD_FILE: .*none cannot be read: No such file or directory$"):
        kafka.admin(1.0)


def test_what_is_no_certificate_is_told_in_one_line(secured: Settings) -> None:
    with pytest.raises(SettingError, match=r"^kafka 127\.0\.0\.1:1: the client cannot be made: .*ssl\.") as refused:
        Connection.of(secured).admin(1.0)
    assert "\n" not in str(refused.value) and "ter2" not in str(refused.value)


def test_a_connection_with_a_password_in_it_is_not_pickled(secured: Settings) -> None:
    for held in (secured, Connection.of(secured)):
        assert "ter2" not in repr(held)
        with pytest.raises(TypeError, match="a secret is not pickled"):
            pickle.dumps(held)
    handed_on = secured.without_secrets()
    assert pickle.loads(pickle.dumps(handed_on)) == handed_on
    assert b"ter2" not in pickle.dumps((handed_on, Connection.of(handed_on)))


def test_without_security_tables_are_told_nothing_more() -> None:
    assert Connection(servers="b:1").table(["t", "u"]) == {"connector": "kafka", "topic": "t;u", "properties.bootstrap.servers": "b:1"}
