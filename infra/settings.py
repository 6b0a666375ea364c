"""Every setting of Tidemark: environment `TIDEMARK_*` over `tidemark.toml` over defaults, checked when read.

The only reader of the environment. Processes that Tidemark starts get the settings back through `Settings.environment()`.
"""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from infra import secrets
from infra import setting_kinds as kinds
from infra.kafka_security import Mechanism, Protocol, misfits
from schemas.errors import ServiceError, SettingError
from schemas.masking import FILE, Secret, masked, revealed
from schemas.wording import cause

Delivery = Literal["at_least_once", "exactly_once"]
OnlineLoss = Literal["refuse", "stale"]
Service = Literal["kafka", "redis", "flink"]
Jit = Literal["full", "quick"]

_ADDRESSES = ("maven", "redis", "registry")  # that may hold a password


def _setting(parse: Callable[[object], Any], *, default: Any, doc: str, secret: bool = False) -> Any:
    """Of the settings; a secret one may hold a password, and is not shown where they are."""
    return field(default=default, repr=not secret, metadata={"parse": parse, "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run of Tidemark is told from outside; `Settings.load()` reads it.

    A field `x_ms` or `x_bytes` is set by `TIDEMARK_X` with a unit (`TIDEMARK_IDLE_TIMEOUT=10s`), any other field `x` by `TIDEMARK_X`;
    in `tidemark.toml` the same names in lower case. A relative path in the file starts at the file's folder, elsewhere at the working directory.
    """

    home: Path = _setting(
        kinds.path,
        default=Path(".tidemark"),
        doc="folder of all state: endpoints, logs, Kafka and Valkey data, checkpoints, archive, compiled code",
    )
    definitions: Path | None = _setting(kinds.path, default=None, doc="folder of your definitions; the shipped example when not set")
    schemas: Path | None = _setting(kinds.path, default=None, doc="folder of your .avsc files; the shipped example's when not set")
    jars: Path | None = _setting(kinds.path, default=None, doc="folder of the Java libraries; inside the Python environment when not set")
    maven: str | None = _setting(
        kinds.kept(kinds.url("https", "http")),
        default=None,
        secret=True,
        doc="URL of a mirror to fetch them from, or file: and the path of a file that holds it; Maven's central repository when not set",
    )
    python: str | None = _setting(str, default=None, doc="Python interpreter on the Flink workers; this one when not set")

    kafka: str | None = _setting(kinds.servers, default=None, doc="bootstrap servers; the embedded broker when not set")
    redis: str | None = _setting(
        kinds.kept(kinds.store),
        default=None,
        secret=True,
        doc="URL of the online store, redis://, rediss:// or unix://, with options such as ?db=4, or file: and the path of a file that holds it; the embedded one when not set",
    )
    flink: str | None = _setting(
        kinds.url("http", "https", bare=True), default=None, doc="URL of the Flink cluster's REST endpoint; the embedded one when not set"
    )
    registry: str | None = _setting(
        kinds.kept(kinds.url("http", "https")),
        default=None,
        secret=True,
        doc="URL of a Confluent-compatible schema registry, or file: and the path of a file that holds it; none when not set",
    )

    kafka_security_protocol: Protocol = _setting(
        kinds.choice(*get_args(Protocol)), default="PLAINTEXT", doc="of a broker of yours: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Mechanism | None = _setting(
        kinds.choice(*get_args(Mechanism)), default=None, doc="how the user is proved with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str | None = _setting(str, default=None, doc="the user with SASL")
    kafka_sasl_password: Secret | None = _setting(
        kinds.secret, default=None, secret=True, doc="the user's password; jobs find it in a file of the home that its owner alone may read"
    )
    kafka_sasl_password_file: Path | None = _setting(
        kinds.path, default=None, doc="file with the user's password, rather than the password"
    )
    kafka_ssl_ca: Path | None = _setting(
        kinds.path, default=None, doc="PEM file of the authorities that sign the brokers' certificates; the system's when not set"
    )
    kafka_ssl_certificate: Path | None = _setting(
        kinds.path, default=None, doc="PEM file of this client's certificate, with its chain, for a broker that asks for one"
    )
    kafka_ssl_key: Path | None = _setting(kinds.path, default=None, doc="PEM file of its private key, in PKCS#8 and not encrypted")

    kafka_port: int = _setting(kinds.whole(0, 65535), default=0, doc="port of the embedded broker; 0 takes a free one")
    redis_port: int = _setting(kinds.whole(0, 65535), default=0, doc="port of the embedded Valkey; 0 takes a free one")
    flink_port: int = _setting(
        kinds.whole(0, 65535), default=0, doc="port of the embedded Flink's REST endpoint and web UI; 0 takes a free one"
    )
    flink_slots: int = _setting(kinds.whole(1, 256), default=12, doc="task slots of the embedded Flink cluster")
    flink_slot_memory_bytes: int = _setting(
        kinds.size, default=768 << 20, doc="for the window operators of a slot of the embedded cluster; taken when it is used"
    )
    flink_network_memory_bytes: int = _setting(
        kinds.size,
        default=128 << 20,
        doc="for what the tasks of a TaskManager of the embedded cluster hand on to each other; taken at once",
    )
    flink_taskmanagers: int = _setting(
        kinds.whole(1, 16), default=1, doc="TaskManagers of the embedded cluster, among which its slots are divided"
    )
    hang_timeout_ms: int = _setting(
        kinds.hang_timeout, default=30_000, doc="how long an embedded service may not answer before it is killed and replaced"
    )
    jit: Jit = _setting(
        kinds.choice(*get_args(Jit)),
        default="full",
        doc="of Java in the embedded services: full, or quick, which costs less CPU in a run of minutes, and throughput in a long one",
    )
    start_timeout_ms: int = _setting(
        kinds.positive_duration, default=90_000, doc="how long a service, or a submitted job's driver, may take to start"
    )

    partitions: int = _setting(kinds.whole(1, 10_000), default=2, doc="partitions of topics that Tidemark creates")
    replication: int = _setting(kinds.whole(1, 10), default=1, doc="replicas of topics that Tidemark creates")
    tiles_retention_ms: int | None = _setting(
        kinds.optional_duration, default=None, doc="how long tiles topics keep a tile, by its event time; or never"
    )
    parallelism: int = _setting(kinds.whole(1, 10_000), default=1, doc="parallel subtasks of a submitted job")
    checkpoint_interval_ms: int = _setting(
        kinds.positive_duration, default=10_000, doc="time between checkpoints; archive files become visible with each"
    )
    bundle_time_ms: int = _setting(kinds.positive_duration, default=5, doc="longest wait for a batch of records at a Python operator")
    bundle_size: int = _setting(kinds.whole(1, 1_000_000), default=5_000, doc="most records in such a batch")
    delivery: Delivery = _setting(
        kinds.choice(*get_args(Delivery)),
        default="at_least_once",
        doc="of predictions: at_least_once is faster, exactly_once uses transactions",
    )

    shard_memory_bytes: int = _setting(
        kinds.size, default=1 << 28, doc="for the shards of a model that a worker holds at a time; the least recently used leave"
    )

    future_skew_ms: int = _setting(kinds.duration, default=300_000, doc="how far ahead of the wall clock an event time may be")
    idle_timeout_ms: int = _setting(
        kinds.positive_duration,
        default=10_000,
        doc="silence after which a partition with nothing unread no longer holds the watermark back",
    )
    max_record_bytes: int = _setting(kinds.size, default=1 << 20, doc="largest record that the gate accepts")
    tile_slack_ms: int = _setting(
        kinds.duration, default=86_400_000, doc="how much longer than the longest window the online store keeps tiles"
    )
    online_ttl_ms: int | None = _setting(
        kinds.optional_duration, default=None, doc="silence after which an entity leaves the online store; or never"
    )

    online_loss: OnlineLoss = _setting(
        kinds.choice(*get_args(OnlineLoss)),
        default="refuse",
        doc="of an online store that may lose keys by eviction, or all by a restart: refuse it, or serve what it may have lost as stale",
    )

    backfill_range_rows: int = _setting(
        kinds.whole(1, 10**12), default=5_000_000, doc="requests and events that a backfill computes between two commits, about"
    )
    backfill_group_rows: int = _setting(
        kinds.whole(1, 10**9), default=500_000, doc="requests and tiles that a Python process of a backfill holds at once"
    )

    @classmethod
    def load(cls, *, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
        """Read the settings that are in force.

        Args:
            environ: The environment; the process's own by default.
            folder: Where `tidemark.toml` may be and relative paths start; the working directory by default.

        Raises:
            SettingError: A value that is wrong or a name that nothing reads; all of them together.
        """
        environ = os.environ if environ is None else environ
        folder = Path.cwd() if folder is None else folder.absolute()
        problems: list[str] = []
        values = _overlaid(_from_file(folder / "tidemark.toml", problems), _from_environment(environ, folder, problems))
        problems = problems or misfits(values)
        if problems:
            raise SettingError("\n".join(problems))
        loaded = cls(**values)
        return loaded if loaded.home.is_absolute() else cls(**(values | {"home": folder / loaded.home}))

    def environment(self) -> dict[str, str]:
        """These settings as the environment of a child process, so that it needs neither the file nor the working directory.

        A password goes by the file that `without_secrets` keeps it in, and the variable of Kafka's own is emptied.
        """
        settings = self.without_secrets()
        named = {_variable(item.name): _as_text(item.name, getattr(settings, item.name)) for item in fields(settings)}
        emptied = {} if self.kafka_sasl_password is None else {_variable("kafka_sasl_password"): ""}
        return {name: text for name, text in named.items() if text is not None} | emptied

    def without_secrets(self) -> Settings:
        """The same settings for whatever is pickled or handed to another process: with the path of a file of the home for each password.

        Raises:
            SettingError: The home cannot be written.
        """
        handed_on: dict[str, Any] = {}
        for name in _ADDRESSES:
            address: str | None = getattr(self, name)
            if address is not None and masked(address) != address:
                handed_on[name] = f"{FILE}{secrets.keep(self.home.absolute(), f'{name}-url', Secret(address))}"
        if self.kafka_sasl_password is not None:
            file = secrets.keep(self.home, "kafka-password", self.kafka_sasl_password)
            handed_on |= {"kafka_sasl_password": None, "kafka_sasl_password_file": file}
        return replace(self, **handed_on)

    @property
    def endpoints_file(self) -> Path:
        """Where a running embedded runtime says how it is reached."""
        return self.home / "endpoints.json"

    @property
    def machine_code(self) -> Path:
        """Where workers keep what they compile, for the next ones."""
        return self.home / "machine-code"

    @property
    def runtime_lock(self) -> Path:
        """The file whose lock an embedded runtime's supervisor holds while it lives."""
        return self.home / "runtime.lock"

    @property
    def runtime_is_alive(self) -> bool:
        """Whether an embedded runtime lives in this home, starting and ending included."""
        try:
            with self.runtime_lock.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            return True
        except OSError as fault:
            raise SettingError(f"{self.runtime_lock}: cannot be read: {cause(fault)}; set TIDEMARK_HOME to a folder of yours") from None
        return False

    @property
    def maven_url(self) -> str | None:
        """The mirror's URL. Raises SettingError where it is in a file that cannot be read."""
        return None if self.maven is None else revealed(self.maven, _variable("maven"))

    @property
    def kafka_servers(self) -> str:
        """Kafka's bootstrap servers: the setting, else the embedded broker. Raises ServiceError when there is neither."""
        return self.kafka or self._embedded("kafka")

    @property
    def redis_url(self) -> str:
        """The online store's address, which may be in a file: the setting, else the embedded one. Raises ServiceError when there is neither."""
        return self.redis or self._embedded("redis")

    @property
    def flink_url(self) -> str:
        """Flink's REST endpoint: the setting, else the embedded cluster. Raises ServiceError when there is neither."""
        return self.flink or self._embedded("flink")

    def _embedded(self, service: Service) -> str:
        advice = f"start it with `tidemark up`, or set {_variable(service)}"
        try:
            endpoint = str(json.loads(self.endpoints_file.read_text())[service])
        except (FileNotFoundError, NotADirectoryError, KeyError):
            raise ServiceError(f"{service}: no embedded runtime in {self.home}; {advice}") from None
        except OSError as fault:
            raise SettingError(f"{self.endpoints_file}: cannot be read: {cause(fault)}; set TIDEMARK_HOME to a folder of yours") from None
        except (ValueError, TypeError):
            raise ServiceError(f"{service}: {self.endpoints_file} is damaged; `tidemark down` and `tidemark up` write it anew") from None
        if self.runtime_lock.exists() and not self.runtime_is_alive:
            raise ServiceError(f"{service}: the embedded runtime in {self.home} has ended without a goodbye; {advice}")
        return endpoint


def _overlaid(file: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment over the file; a password, or the path of one, over either."""
    ways = {"kafka_sasl_password", "kafka_sasl_password_file"}
    return {name: value for name, value in file.items() if name not in ways or not ways & environment.keys()} | dict(environment)


def _variable(name: str) -> str:
    return f"TIDEMARK_{_key(name).upper()}"


def _key(name: str) -> str:
    return name.removesuffix("_ms").removesuffix("_bytes")


def _as_text(name: str, value: object) -> str | None:
    if value is None:
        return "never" if name.endswith("_ms") else None
    return f"{value}ms" if name.endswith("_ms") else str(value)


def _from_file(file: Path, problems: list[str]) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        read = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        problems.append(f"{file}: not readable as TOML: {fault}")
        return {}
    known = {_key(item.name): item for item in fields(Settings)}
    values: dict[str, Any] = {}
    for name, given in read.items():
        if name not in known:
            problems.append(f"{file}: no setting is named {name!r}{_did_you_mean(name, known, cutoff=0.5)}")
        elif isinstance(given, (dict, list, bool)):
            shown = "***" if known[name].metadata["parse"] is kinds.secret else masked(repr(given))
            problems.append(f"{file}: {name}: expected a string or a number, got {shown}")
        else:
            _read(known[name].name, given, f"{file}: {name}", file.parent, values, problems)
    return values


def _from_environment(environ: Mapping[str, str], folder: Path, problems: list[str]) -> dict[str, Any]:
    known = {_variable(item.name): item for item in fields(Settings)}
    values: dict[str, Any] = {}
    for name in sorted(environ):
        if name in known:
            if environ[name].strip():
                _read(known[name].name, environ[name], name, folder, values, problems)
        elif name.startswith("TIDEMARK_") and (hint := _did_you_mean(name, known, cutoff=0.9)):
            # Names that resemble none are left alone: Kubernetes adds TIDEMARK_SERVICE_HOST and the like for a service of this name.
            problems.append(f"{name}: no such setting{hint}")
    return values


def _read(name: str, given: object, where: str, folder: Path, values: dict[str, Any], problems: list[str]) -> None:
    parse = Settings.__dataclass_fields__[name].metadata["parse"]
    try:
        value = parse(given)
    except kinds.WrongValueError as expected:
        problems.append(f"{where}: expected {expected}, got {masked(str(given))!r}")
        return
    values[name] = folder / value if isinstance(value, Path) else value


def _did_you_mean(name: str, known: Mapping[str, object], *, cutoff: float) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
