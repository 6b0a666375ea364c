"""How every client of ours reaches Kafka: the one place of client configuration, and of what proves to the brokers who we are.

Python's clients are librdkafka's, and are made here. Flink's tables are Java's: their options are text that anybody sees who looks at a job, so
they name files for what is secret, which the Java client reads by itself on the workers (its `config.providers`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from infra import secrets
from infra.settings import Settings
from jobs.kafka.error_text import error_text
from schemas.errors import SettingError
from schemas.masking import Secret

Properties = Mapping[str, str | int | bool]
Client = TypeVar("Client")

LARGEST_REQUEST_BYTES = 1 << 27
"""Of Flink's producers: whatever a topic let in must fit into its dead letters."""
LARGEST_RECORD_BYTES = 64 << 20
"""Of ours: what is too large is the broker's to say."""

_COMMITTED = {"isolation.level": "read_committed"}
_UNDECIDED = {"isolation.level": "read_uncommitted"}
_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common"  # Flink's connector brings its Kafka client under this name
_LOGIN = {"PLAIN": "plain.Plain", "SCRAM-SHA-256": "scram.Scram", "SCRAM-SHA-512": "scram.Scram"}
_JAAS = "sasl.jaas.config"
_REFUSAL_S = 2.0


FETCH_MANY: Properties = {}
FETCH_AT_ONCE: Properties = {"fetch.wait.max.ms": 20, "fetch.error.backoff.ms": 50}
FETCH_ONE: Properties = {  # the broker sends a batch even where that is larger
    "max.partition.fetch.bytes": 1 << 16,
    "queued.max.messages.kbytes": 64,
    "queued.min.messages": 1,
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 20,
    "fetch.error.backoff.ms": 100,
    "topic.metadata.refresh.interval.ms": 30_000,
}


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the brokers are, and how they and we prove who we are.

    Attributes:
        servers: Bootstrap servers.
        protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        mechanism: Of SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        username: Of SASL.
        password: Of SASL, or the file that has it.
        ca: PEM file of the authorities that are trusted; the system's when None.
        certificate: PEM file of this client's own.
        key: PEM file of its private key.
        home: Where what Flink's workers read is kept.
    """

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: Secret | Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    home: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """That of the settings. Raises ServiceError when they name no broker and none is embedded."""
        return cls(
            servers=settings.kafka_servers,
            protocol=settings.kafka_security_protocol,
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password or settings.kafka_sasl_password_file,
            ca=settings.kafka_ssl_ca,
            certificate=settings.kafka_ssl_certificate,
            key=settings.kafka_ssl_key,
            home=settings.home,
        )

    def admin(self, answer_s: float) -> AdminClient:
        """A client that asks, and waits so long for an answer. Faults are raised, never printed. Raises SettingError as all clients do."""
        return self._made(AdminClient, {"socket.timeout.ms": int(answer_s * 1000)})

    def consumer(
        self, group: str, *, lost: str = "earliest", tells_ends: bool = False, fetch: Properties = FETCH_MANY, undecided: bool = False
    ) -> Consumer:
        """A consumer of what is committed that commits nothing by itself. Records of aborted transactions do not exist for it.

        Args:
            group: Required, also where nothing is ever committed.
            lost: What is done about an offset that is no longer there: `earliest`, or `error`.
            tells_ends: Whether it is told when the end of a partition is reached.
            fetch: How much, and how soon: one of those above.
            undecided: Whether it is given what lies behind an open transaction, and what was aborted: for whoever asks about transactions, never for what the records say.

        Raises:
            SettingError: A file of a password, certificate or key cannot be read or used.
        """
        own = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": lost, "enable.partition.eof": tells_ends}
        return self._made(Consumer, {**own, **fetch, **(_UNDECIDED if undecided else _COMMITTED)})

    def producer(self, *, linger_ms: int = 5, deliver_within_s: float | None = None, tells_delivered: bool = True) -> Producer:
        """An idempotent producer; places records as Java's do. Faults are told to what is called on delivery. Raises SettingError as `consumer`.

        Args:
            linger_ms: How long a record may wait for others.
            deliver_within_s: How long it may stay undelivered before it counts as failed; librdkafka's five minutes when None.
            tells_delivered: Whether it is also told that a record was delivered, not only that it was not.
        """
        own = {"enable.idempotence": True, "partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": linger_ms}
        wait = {} if deliver_within_s is None else {"message.timeout.ms": int(deliver_within_s * 1000)}
        own |= {"delivery.report.only.error": not tells_delivered, "message.max.bytes": LARGEST_RECORD_BYTES}
        return self._made(Producer, {**own, **wait})

    def table(self, topics: Sequence[str]) -> dict[str, str]:
        """The options that all Flink tables of topics have. Raises SettingError where a file of the settings cannot be used or kept."""
        properties = {"bootstrap.servers": self.servers} | self._java_security()
        return {"connector": "kafka", "topic": ";".join(topics), **{f"properties.{name}": value for name, value in properties.items()}}

    def source_table(self, topics: Sequence[str], *, group: str, start: str = "group-offsets") -> dict[str, str]:
        """The options of a Flink table that reads what is committed of topics.

        Args:
            topics: Their names.
            group: Under which the job commits what it has read.
            start: Where a job without state begins; `group-offsets` of a group without any is the earliest record.
        """
        properties = {"group.id": group, "auto.offset.reset": "earliest", **_COMMITTED}
        named = {f"properties.{name}": value for name, value in properties.items()}
        return self.table(topics) | {"scan.startup.mode": start} | named

    def sink_table(self, topics: Sequence[str], *, linger_ms: int, transactions: tuple[str, int] | None = None) -> dict[str, str]:
        """The options of a Flink table that writes topics.

        Args:
            topics: Their names.
            linger_ms: How long a record may wait for others.
            transactions: Prefix of their ids, and how long one may stay open, ms; records are written at least once, without any, when None.
        """
        properties = {"linger.ms": str(linger_ms), "max.request.size": str(LARGEST_REQUEST_BYTES)}
        delivery = {"sink.delivery-guarantee": "at-least-once"}
        if transactions is None:
            properties |= {"acks": "all", "enable.idempotence": "true"}
        else:
            prefix, open_ms = transactions
            properties["transaction.timeout.ms"] = str(open_ms)
            delivery = {"sink.delivery-guarantee": "exactly-once", "sink.transactional-id-prefix": prefix}
        return self.table(topics) | {f"properties.{name}": value for name, value in properties.items()} | delivery

    def refusal(self, codes: Collection[int]) -> KafkaError | None:
        """Why a broker that takes connections has nothing to do with us: the first fault of these codes that a client of its own hears within 2 s."""
        heard: list[KafkaError] = []
        client = self._made(AdminClient, {"error_cb": heard.append})
        deadline = time.monotonic() + _REFUSAL_S
        while time.monotonic() < deadline:
            client.poll(0.1)
            if (told := next((error for error in heard if error.code() in codes), None)) is not None:
                return told
        return None

    def _made(self, kind: Callable[[Any], Client], own: Mapping[str, Any]) -> Client:
        properties = {"bootstrap.servers": self.servers, "log_level": 0, **self._security(), **own}
        try:
            return kind(properties)
        except KafkaException as fault:  # of a certificate or key that is none: nothing was sent yet
            raise SettingError(f"kafka {self.servers}: the client cannot be made: {error_text(fault.args[0])}") from None

    def _security(self) -> dict[str, str]:
        """As librdkafka is told."""
        if self.protocol == "PLAINTEXT":
            return {}
        told = {"security.protocol": self.protocol}
        if self.mechanism is not None:
            told |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username or "", "sasl.password": self._password()}
        for name, (file, setting) in self._files().items():
            Secret.of_file(file, setting)
            told[f"ssl.{name}.location"] = str(file)
        return told

    def _java_security(self) -> dict[str, str]:
        """As Java's clients are told: by the paths of files for all that is secret."""
        if self.protocol == "PLAINTEXT":
            return {}
        told, files = {"security.protocol": self.protocol}, self._files()
        if self.mechanism is not None:
            login = f"{_SHADED}.security.{_LOGIN[self.mechanism]}LoginModule"
            jaas = f"{login} required username={_quoted(self.username or '')} password={_quoted(self._password())};"
            assert self.home is not None
            kept = secrets.keep(self.home, "kafka-login.properties", Secret(f"{_JAAS}={_property(jaas)}\n"))
            told |= {"sasl.mechanism": self.mechanism, _JAAS: _read_by_java("file", kept, _JAAS)}
        if "ca" in files:
            told |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(files["ca"][0])}
        if "key" in files:
            (certificate, _), (key, setting) = files["certificate"], files["key"]
            if "-----BEGIN PRIVATE KEY-----" not in Secret.of_file(key, setting).reveal():
                raise SettingError(
                    f"{setting}: {key}: expected a private key in PKCS#8, not encrypted; `openssl pkcs8 -topk8 -nocrypt` makes one"
                )
            chain, own = (_read_by_java("directory", file.parent, file.name) for file in (certificate, key))
            told |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain, "ssl.keystore.key": own}
        providers = {"file": "File", "directory": "Directory"}
        told["config.providers"] = ",".join(providers)
        return told | {
            f"config.providers.{name}.class": f"{_SHADED}.config.provider.{kind}ConfigProvider" for name, kind in providers.items()
        }

    def _files(self) -> dict[str, tuple[Path, str]]:
        """Which is given for what, and its setting."""
        given = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        return {name: (file, f"TIDEMARK_KAFKA_SSL_{name.upper()}") for name, file in given.items() if file is not None}

    def _password(self) -> str:
        given = self.password
        if isinstance(given, Path):
            given = Secret.of_file(given, "TIDEMARK_KAFKA_SASL_PASSWORD_FILE")
        return "" if given is None else given.reveal()


def _read_by_java(provider: str, place: Path, name: str) -> str:
    """What Java's client replaces by what a file holds under a name, or what a file of that name in a folder holds."""
    if set(":}") & {*str(place), *name}:
        raise SettingError(
            f"{place}: {name}: a path with a colon or a brace is none that Kafka's Java client can read secrets from; move it"
        )
    return f"${{{provider}:{place}:{name}}}"


def _quoted(text: str) -> str:
    """In JAAS, whose strings are Java's."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _property(text: str) -> str:
    """The value in a file of Java's properties."""
    return text.replace("\\", "\\\\")
