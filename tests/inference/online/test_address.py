"""The online store's URL means one thing: what redis-py reads in it, for our client and for Feast's; what cannot be so is refused, and no secret told."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from inference.feast_registry import feature_store, registry
from inference.online.reader import OnlineReader
from inference.online.redis.address import StoreAddress
from inference.online.redis.connection import Client, connect, hmget_many
from inference.online.redis.store import RedisStore
from schemas.errors import ServiceError, SettingError
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import values
from tests.inference.example import PLAN, SERVICE, requests_of
from tests.inference.online.test_feast import load

pytestmark = pytest.mark.filterwarnings("ignore")  # Feast's own

SECRET = "hunter2"
UGLY = "p,a=s:s/w?o#r%d@ \"é{'1'}"
KINDS = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}


def test_an_address_in_a_file_is_what_the_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "store"
    file.write_text(f"redis://me:{SECRET}@host:1/2\n")
    assert StoreAddress.parse(f"file:{file}") == StoreAddress.parse(f"redis://me:{SECRET}@host:1/2")
    for spoiled, said in ((SECRET + "://x", "begins with"), ("", "is empty")):
        file.write_text(spoiled)
        with pytest.raises(SettingError, match=f"^TIDEMARK_REDIS: .*{said}"):
            StoreAddress.parse(f"file:{file}")
    file.unlink()
    with pytest.raises(SettingError, match=f"^TIDEMARK_REDIS: {file} cannot be read: "):
        StoreAddress.parse(f"file:{file}")


def feasts_client(address: str) -> Client:
    """Feast's own client of a connection string; nothing is sent yet."""
    from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

    client: Client = RedisOnlineStore()._get_client(RedisOnlineStoreConfig(connection_string=address))
    return client


def connection(client: Client) -> Any:
    return client.connection_pool.make_connection()


@pytest.mark.slow
@settings(deadline=None, max_examples=60)  # the first imports Feast
@given(
    st.sampled_from(sorted(KINDS)),
    st.none() | st.text(min_size=1),
    st.none() | st.sampled_from(["1234", "0012", "1e5", "true", "null", '"quoted"', UGLY]) | st.text(min_size=1),
    st.none() | st.integers(0, 15),
    st.booleans(),
    st.sampled_from([{}, {"socket_timeout": 2.5, "client_name": "a b,c=d"}, {"health_check_interval": 30, "max_connections": 7}]),
)
def test_feasts_client_has_all_that_ours_has(
    scheme: str, user: str | None, password: str | None, db: int | None, in_path: bool, others: dict[str, Any]
) -> None:
    who = "" if user is None and password is None else f"{quote(user or '', safe='')}:{quote(password or '', safe='')}@"
    in_path = in_path and scheme != "unix"
    where = "/run/some socket.sock" if scheme == "unix" else f"store:1234{f'/{db}' if in_path and db is not None else ''}"
    query = "&".join(
        f"{name}={quote(str(value), safe='')}" for name, value in others.items() | ([] if in_path or db is None else [("db", db)])
    )
    url = f"{scheme}://{who}{quote(where, safe='/:')}?{query}"
    ours: Any = connection(connect(url))
    feasts: Any = connection(feasts_client(StoreAddress.parse(url).for_feast()))
    assert (type(ours), type(feasts)) == (KINDS[scheme], KINDS[scheme])
    assert (ours.username, ours.password, ours.db) == (user, password, db or 0)
    said = ["db", "username", "password", "client_name", "health_check_interval", *(["path"] if scheme == "unix" else ["host", "port"])]
    assert [str(getattr(ours, name)) for name in said] == [str(getattr(feasts, name)) for name in said]
    assert ours.socket_timeout == others.get("socket_timeout", 10.0)
    assert feasts.socket_timeout == others.get("socket_timeout")


@pytest.mark.slow
@pytest.mark.parametrize("value", ["none", "optional", "required"])
def test_feasts_client_has_the_tls_options_too(value: str) -> None:
    said = {
        "ssl_ca_certs": "/ca, ours.pem",
        "ssl_certfile": "/cert.pem",
        "ssl_keyfile": "/key.pem",
        "ssl_password": "1234",
        "ssl_cert_reqs": value,
        "ssl_check_hostname": value != "none",
        "ssl_ciphers": "HIGH:!aNULL",
    }
    url = f"rediss://store?{'&'.join(f'{name}={quote(str(option))}' for name, option in said.items())}"
    address = StoreAddress.parse(url)
    assert {name: address.options[name] for name in said} == said
    for client in (connect(url), feasts_client(address.for_feast())):
        made = connection(client)
        assert isinstance(made, SSLConnection)
        assert (made.ca_certs, made.certfile, made.keyfile) == ("/ca, ours.pem", "/cert.pem", "/key.pem")
        assert (made.certificate_password, made.ssl_ciphers, made.check_hostname) == ("1234", "HIGH:!aNULL", value != "none")
        assert made.cert_reqs == {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}[value]


@contextmanager
def tls(valkey: str, folder: Path) -> Iterator[str]:
    """TLS in front of the server, which has none: `host:port?options`. It asks clients for a certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    build = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    certificate = build.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    both = folder / "both, in one.pem"
    form = serialization.PrivateFormat.PKCS8
    both.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()) + pem.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(both))
    context.load_cert_chain(both)
    context.verify_mode = ssl.CERT_REQUIRED
    host, port = valkey.split(":")

    def relay(taken: socket.socket) -> None:
        """Back and forth in one thread, since an SSL socket is not for two."""
        try:
            taken.settimeout(5)  # of the handshake: one who speaks no TLS waits for an answer in vain
            with taken, context.wrap_socket(taken, server_side=True) as client, socket.create_connection((host, int(port))) as server:
                client.settimeout(None)
                while True:
                    ready = [client] if client.pending() else select.select([client, server], [], [])[0]
                    for source, sink in ((client, server), (server, client)):
                        if source in ready:
                            chunk = source.recv(1 << 16)
                            if not chunk:
                                return
                            sink.sendall(chunk)
        except OSError:  # a client that left, or showed no certificate
            pass

    def serve() -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(taken,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        file = quote(str(both))
        yield f"localhost:{listener.getsockname()[1]}?ssl_ca_certs={file}&ssl_certfile={file}&ssl_check_hostname=true"


def url_of(kind: str, valkey: str, client: Client, secure: str) -> str:
    configured: Any = client.config_get("unixsocket")
    path = configured["unixsocket"]
    return {
        "the database in the path": f"redis://{valkey}/4",
        "the database as an option": f"redis://{valkey}?db=4",
        "a user and a password": f"redis://the%3Auser:{quote(UGLY, safe='')}@{valkey}?db=4",
        "a socket": f"unix://the%3Auser:{quote(UGLY, safe='')}@{path}?db=4",
        "TLS": f"rediss://the%3Auser:{quote(UGLY, safe='')}@{secure}&db=4",
    }[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["the database in the path", "the database as an option", "a user and a password", "a socket", "TLS"])
def test_feast_and_we_read_the_same_values_through_one_url(kind: str, valkey: str, client: Client, tmp_path: Path) -> None:
    client.acl_setuser("the:user", enabled=True, reset=True, passwords=[f"+{UGLY}"], keys=["*"], channels=["*"], commands=["+@all"])
    rows: list[tuple[str | None, int]] = [(key, 2 * TILE_MS + DELAY_MS) for key in ("a", "b", "silent")]
    with tls(valkey, tmp_path) as secure:
        url = url_of(kind, valkey, client, secure)
        own = connect(url)
        load(own)
        registry(PLAN, redis=url, folder=tmp_path / "feast")
        requests = requests_of(rows)
        served = OnlineReader(SERVICE, RedisStore(own)).read(requests).table
        entities = [
            {"key": row["key"], "zone": row["zone"], "amount": row["amount"], "as_of_ms": int(row["at"].timestamp() * 1000)}
            for row in requests.to_pylist()
        ]
        store = feature_store(redis=url, folder=tmp_path / "feast")
        feast = store.get_online_features(features=store.get_feature_service("scoring"), entity_rows=entities).to_dict()
        own.close()
    assert feast["by_key_count_3h"] == served["by_key_count_3h"].to_pylist() == [4, 1, 0]
    for name in SERVICE.feature_types:
        assert feast[name] == values(served[name].combine_chunks()), name
    assert client.dbsize() == 0  # the default database has nothing of it


def test_a_client_without_the_certificates_that_the_url_names_is_not_served(valkey: str, tmp_path: Path) -> None:
    with tls(valkey, tmp_path) as secure:
        bare = secure.partition("?")[0]
        for url in (
            f"rediss://:{SECRET}@{bare}",
            f"rediss://:{SECRET}@{bare.replace('localhost', '127.0.0.1')}?{secure.partition('?')[2]}",
        ):
            with pytest.raises(ServiceError, match=r"^redis \S+: does not serve: ") as error:
                hmget_many(connect(url), [([b"k"], [b"f"])])
            assert SECRET not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://:{SECRET}@store", "begins with http://; allowed are redis://, rediss://, unix://"),
        (f"redis://:{SECRET}/x@store", "it cannot be read; in user and password write / ? # % @ as %2F %3F %23 %25 %40"),
        (f"redis://:1#{SECRET}@store", "it cannot be read; in user and password write / ? # % @ as %2F %3F %23 %25 %40"),
        (f"redis://:1?{SECRET}@store", "it cannot be read; in user and password write / ? # % @ as %2F %3F %23 %25 %40"),
        (f"redis://:1/{SECRET}@store", "it cannot be read; in user and password write / ? # % @ as %2F %3F %23 %25 %40"),
        (f"redis://:{SECRET}@store/1#2", "has a #, and what is behind it is lost; write it as %23"),
        (f"redis://store,other:6379/0?password={SECRET}&deb=4", "option deb: redis:// does not take it; allowed are client_name, db, "),
        (f"redis://:{SECRET}@store/four", "what is behind host:port/ must be the number of a database, as in redis://host:6379/0"),
        (f"redis://:{SECRET}@store/4/5", "what is behind host:port/ must be the number of a database, as in redis://host:6379/0"),
        (f"redis://:{SECRET}@store?db=four", "Invalid value for 'db' in connection URL.; in user and password write "),
        (f"redis://:{SECRET}@store?db=-1", "option db: must be a whole number from 0"),
        (f"redis://:{SECRET}@store?db=", "option db: has no value"),
        (f"redis://:{SECRET}@store:port", "it cannot be read; "),
        (f"redis://:{SECRET}@one:1,two:2", "it cannot be read; "),
        (f"redis://:{SECRET}@store:99999", "it cannot be read; "),
        (f"redis://:{SECRET}@:6379/0", "names no host; it must be as redis://host:6379/0"),
        ("redis://", "names no host; it must be as redis://host:6379/0"),
        (f"redis://:{SECRET}@store?socket_timeout=0", "option socket_timeout: must be seconds above 0"),
        (f"redis://:{SECRET}@store?socket_timeout=nan", "option socket_timeout: must be seconds above 0"),
        (f"redis://:{SECRET}@store?decode_responses=true", "option decode_responses: redis:// does not take it; "),
        (f"redis://:{SECRET}@store?ssl_ca_certs=x", "option ssl_ca_certs: redis:// does not take it; "),
        (f"rediss://:{SECRET}@store?ssl_cert_reqs=maybe", "Invalid SSL Certificate Requirements Flag: maybe; "),
        (f"rediss://:{SECRET}@store?ssl_cert_reqs=none&ssl_check_hostname=yes", "option ssl_check_hostname: nothing is checked with "),
        (f"unix://:{SECRET}@run/x.sock", "unix:// needs the whole path of the socket, as in unix:///run/valkey.sock?db=0"),
        (f"unix:///run/x.sock?socket_keepalive=true&password={SECRET}", "option socket_keepalive: unix:// does not take it; "),
    ],
)
def test_what_redis_py_would_pass_over_or_choke_on_is_refused_in_a_line_without_the_password(url: str, why: str) -> None:
    for read in (connect, StoreAddress.parse):
        with pytest.raises(SettingError) as error:
            read(url)
        assert str(error.value).startswith(f"TIDEMARK_REDIS: {why}")
        assert SECRET not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_an_address_that_feasts_notation_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    assert connection(connect("redis://[::1]:7/2")).host == "::1"
    with pytest.raises(
        SettingError, match=r"^TIDEMARK_REDIS: host ::1: Feast's notation has no place for it; give the host a name without : , =$"
    ):
        feature_store(redis="redis://[::1]:7/2", folder=tmp_path, project="p")


def test_a_server_that_is_not_there_is_named_without_its_password(nobody: str, tmp_path: Path) -> None:
    url = f"redis://me:{SECRET}@{nobody}?db=4"
    assert SECRET not in repr(StoreAddress.parse(url)) + repr(connect(url))
    with pytest.raises(ServiceError) as ours:
        RedisStore(connect(url)).frontiers().read(["by_key"])
    with pytest.raises(ServiceError) as feasts:
        registry(PLAN, redis=url, folder=tmp_path)
    for error in (ours, feasts):
        assert "127.0.0.1:" in str(error.value) and SECRET not in str(error.value)
