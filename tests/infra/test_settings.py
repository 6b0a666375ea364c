"""Settings: where they come from, and one clear line for each that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.errors import ServiceError, SettingError


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text('partitions = 3\nparallelism = 4\nidle_timeout = "2m"\n')
    settings = Settings.load(environ={"TIDEMARK_PARALLELISM": "5"}, folder=tmp_path)
    assert (settings.partitions, settings.parallelism, settings.idle_timeout_ms, settings.replication) == (3, 5, 120_000, 1)


def test_a_relative_path_starts_at_the_folder(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text('definitions = "team/definitions"\n')
    settings = Settings.load(environ={"TIDEMARK_SCHEMAS": "team/schemas"}, folder=tmp_path)
    assert settings.home == tmp_path / ".tidemark"
    assert settings.definitions == tmp_path / "team/definitions"
    assert settings.schemas == tmp_path / "team/schemas"


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    environ = {"TIDEMARK_KAFKA": "a:1,b:2", "TIDEMARK_ONLINE_TTL": "30d", "TIDEMARK_TILES_RETENTION": "never", "TIDEMARK_MAX_RECORD": "2MB"}
    settings = Settings.load(environ=environ, folder=tmp_path)
    assert (settings.online_ttl_ms, settings.tiles_retention_ms, settings.max_record_bytes) == (30 * 86_400_000, None, 2 << 20)
    assert Settings.load(environ=settings.environment(), folder=Path("/")) == settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PARTITIONS", "0", "a whole number from 1 to 10000"),
        ("PARTITIONS", "two", "a whole number from 1 to 10000"),
        ("KAFKA_PORT", "70000", "a whole number from 0 to 65535"),
        ("IDLE_TIMEOUT", "10", "a duration such as 500ms"),
        ("IDLE_TIMEOUT", "0s", "a duration above 0"),
        ("TILES_RETENTION", "forever", "a duration such as 90s, 36h or 30d, or never"),
        ("MAX_RECORD", "1 parsec", "a size above 0"),
        ("KAFKA", "localhost", "host:port"),
        ("REDIS", "localhost:6379", "a URL such as redis://host:port"),
        ("REGISTRY", "http://", "a URL such as http://host:port"),
        ("FLINK", "http://[::1", "a URL such as http://host:port"),
        ("KAFKA", "a:9092,b:99999", "host:port, or several with commas between"),
        ("FLINK", "localhost:8081", "a URL such as http://host:port"),
        ("FLINK", "http://***@localhost:8081", "a URL such as http://host:port, without user and password, which nothing here would send"),
        ("DELIVERY", "twice", "at_least_once or exactly_once"),
        ("JIT", "slow", "full or quick"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as refused:
        Settings.load(environ={f"TIDEMARK_{name}": value}, folder=tmp_path)
    assert str(refused.value).startswith(f"TIDEMARK_{name}: expected {expected}")
    assert str(refused.value).endswith(f"got {value!r}")


def test_all_problems_come_together(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text("partition = 3\nparallelism = true\n")
    with pytest.raises(SettingError) as refused:
        Settings.load(environ={"TIDEMARK_KAFAK": "a:1", "TIDEMARK_SERVICE_HOST": "10.0.0.1"}, folder=tmp_path)
    file = tmp_path / "tidemark.toml"
    assert str(refused.value).splitlines() == [
        f"{file}: no setting is named 'partition'; did you mean partitions?",
        f"{file}: parallelism: expected a string or a number, got True",
        "TIDEMARK_KAFAK: no such setting; did you mean TIDEMARK_KAFKA?",
    ]


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text("partitions: 3\n")
    with pytest.raises(SettingError, match=r"tidemark\.toml: not readable as TOML"):
        Settings.load(environ={}, folder=tmp_path)


def test_without_a_runtime_the_endpoint_error_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings.load(environ={"TIDEMARK_REDIS": "redis://elsewhere:6379"}, folder=tmp_path)
    assert settings.redis_url == "redis://elsewhere:6379"
    with pytest.raises(ServiceError, match=r"kafka: no embedded runtime in .*; start it with `tidemark up`, or set TIDEMARK_KAFKA"):
        _ = settings.kafka_servers


def test_the_endpoints_of_a_dead_runtime_are_not_used(tmp_path: Path) -> None:
    settings = Settings.load(environ={}, folder=tmp_path)
    settings.home.mkdir()
    settings.endpoints_file.write_text('{"kafka": "127.0.0.1:1"}')
    settings.runtime_lock.touch()
    with pytest.raises(ServiceError, match="has ended without a goodbye"):
        _ = settings.kafka_servers


@pytest.mark.parametrize("content", ["{}", "not json", "[]", '{"kafka": 3}'])
def test_a_home_that_is_none_is_told_not_raised(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.load(environ={"TIDEMARK_HOME": str(tmp_path / "file")}, folder=tmp_path)
    assert not settings.runtime_is_alive
    with pytest.raises(ServiceError, match="no embedded runtime in"):
        _ = settings.flink_url
    settings = Settings.load(environ={}, folder=tmp_path)
    settings.home.mkdir()
    settings.endpoints_file.write_text(content)
    with pytest.raises(ServiceError, match=r"^flink: (no embedded runtime in .*; start it|.*endpoints.json is damaged; `tidemark down`)"):
        _ = settings.flink_url


@pytest.mark.parametrize(
    "given",
    [
        "redis:/me:hunter2@store",
        "http://me:hunter2@store:1",
        "me:hunter2@store:6379",
        "me:x//hunter2@store",
        "rediss:://:a@hunter2/@store/0",
        "store:6379,db=1,password=a,hunter2",
        "http://store?ssl_password=hunter2&db=4",
    ],
)
def test_a_wrong_address_is_named_without_its_password(given: str, tmp_path: Path) -> None:
    for environ, toml in (({"TIDEMARK_REDIS": given}, ""), ({}, f'redis = "{given}"'), ({}, f'redis = ["{given}"]')):
        (tmp_path / "tidemark.toml").write_text(toml)
        with pytest.raises(SettingError) as refused:
            Settings.load(environ=environ, folder=tmp_path)
        assert "hunter2" not in str(refused.value) and "got " in str(refused.value)


def test_addresses_with_a_password_go_to_child_processes_by_files_that_their_owner_alone_may_read(tmp_path: Path) -> None:
    urls = {name: f"{scheme}://me:hunter2@host:1/a?b=c" for name, scheme in (("REDIS", "redis"), ("REGISTRY", "https"), ("MAVEN", "https"))}
    settings = Settings.load(environ={f"TIDEMARK_{name}": url for name, url in urls.items()}, folder=tmp_path)
    assert settings.redis_url == urls["REDIS"]
    assert "hunter2" not in repr(settings)
    environ = settings.environment()
    assert "hunter2" not in str(environ)
    child = Settings.load(environ={f"TIDEMARK_{name}": url for name, url in urls.items()} | environ, folder=Path("/"))
    assert child == settings.without_secrets() == child.without_secrets()
    for name, url in urls.items():
        file = Path(environ[f"TIDEMARK_{name}"].removeprefix("file:"))
        assert file.read_text() == url
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert child.maven_url == settings.maven_url == urls["MAVEN"]


def test_addresses_without_a_password_go_as_they_are(tmp_path: Path) -> None:
    settings = Settings.load(environ={"TIDEMARK_REDIS": "redis://host:1/2", "TIDEMARK_REGISTRY": "https://host"}, folder=tmp_path)
    assert settings.without_secrets() == settings
    assert not (settings.home / "secrets").exists()


def test_of_an_address_in_a_file_the_whole_path_is_given(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"^TIDEMARK_REDIS: expected file: and the whole path of the file that holds it, got 'file:redis'"
    ):
        Settings.load(environ={"TIDEMARK_REDIS": "file:redis"}, folder=tmp_path)


SASL = {"KAFKA": "b:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "river"}
WITH = "TIDEMARK_KAFKA_SECURITY_PROTOCOL: SASL_SSL needs TIDEMARK_KAFKA_SASL_"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (SASL | {"KAFKA_SASL_PASSWORD": "hunter2"}, []),
        (SASL | {"KAFKA_SASL_PASSWORD_FILE": "password"}, []),
        ({"KAFKA": "b:1", "KAFKA_SECURITY_PROTOCOL": "SSL"}, []),
        (SASL, [f"{WITH}PASSWORD or TIDEMARK_KAFKA_SASL_PASSWORD_FILE"]),
        (
            {"KAFKA": "b:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": "hunter2"},
            [f"{WITH}MECHANISM", f"{WITH}USERNAME"],
        ),
        (
            SASL | {"KAFKA_SASL_PASSWORD": "hunter2", "KAFKA_SASL_PASSWORD_FILE": "password"},
            ["TIDEMARK_KAFKA_SASL_PASSWORD: there is TIDEMARK_KAFKA_SASL_PASSWORD_FILE as well; set one of them"],
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL"},
            [
                "TIDEMARK_KAFKA_SECURITY_PROTOCOL: SSL is for a broker of yours, and the embedded one has PLAINTEXT alone; set TIDEMARK_KAFKA too"
            ],
        ),
        (
            {"KAFKA": "b:1", "KAFKA_SASL_PASSWORD": "hunter2", "KAFKA_SSL_CA": "ca"},
            [
                "TIDEMARK_KAFKA_SASL_PASSWORD: is for SASL_PLAINTEXT or SASL_SSL; TIDEMARK_KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
                "TIDEMARK_KAFKA_SSL_CA: is for SSL or SASL_SSL; TIDEMARK_KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
            ],
        ),
        (
            {"KAFKA": "b:1", "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE": "own"},
            ["TIDEMARK_KAFKA_SSL_CERTIFICATE: needs TIDEMARK_KAFKA_SSL_KEY; who has a certificate proves it with its key"],
        ),
        (
            {"KAFKA": "b:1", "KAFKA_SECURITY_PROTOCOL": "TLS"},
            ["TIDEMARK_KAFKA_SECURITY_PROTOCOL: expected PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL, got 'TLS'"],
        ),
    ],
)
def test_settings_of_kafkas_security_make_sense_together(environ: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    named = {f"TIDEMARK_{name}": value for name, value in environ.items()}
    if not expected:
        Settings.load(environ=named, folder=tmp_path)
        return
    with pytest.raises(SettingError) as refused:
        Settings.load(environ=named, folder=tmp_path)
    assert str(refused.value).splitlines() == expected


def test_a_password_goes_to_child_processes_by_a_file_that_its_owner_alone_may_read(tmp_path: Path) -> None:
    named = {f"TIDEMARK_{name}": value for name, value in SASL.items()} | {"TIDEMARK_KAFKA_SASL_PASSWORD": "hunter2"}
    settings = Settings.load(environ=named, folder=tmp_path)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.environment())
    # The child has this process's environment too, where the password still is.
    child = Settings.load(environ=named | settings.environment(), folder=Path("/"))
    assert child == settings.without_secrets()
    file = child.kafka_sasl_password_file
    assert file is not None and file.read_text() == "hunter2"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_of_a_password_and_the_path_of_one_the_environment_takes_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text('kafka_sasl_password = "hunter2"\n')
    named = {f"TIDEMARK_{name}": value for name, value in SASL.items()} | {"TIDEMARK_KAFKA_SASL_PASSWORD_FILE": "mine"}
    settings = Settings.load(environ=named, folder=tmp_path)
    assert (settings.kafka_sasl_password, settings.kafka_sasl_password_file) == (None, tmp_path / "mine")


def test_a_password_of_a_wrong_kind_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text('kafka_sasl_password = ["hunter2"]\n')
    with pytest.raises(SettingError, match=r"kafka_sasl_password: expected a string or a number, got \*\*\*$"):
        Settings.load(environ={}, folder=tmp_path)
