"""The online store's URL: the one place where it is taken apart, by redis-py's own parser, for our client and for Feast's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import RedisError

from schemas.errors import SettingError
from schemas.masking import revealed

_SETTING = "TIDEMARK_REDIS"
_ANYWHERE = frozenset({"db", "username", "password", "client_name", "socket_timeout", "health_check_interval", "max_connections"})
_TCP = _ANYWHERE | {"socket_connect_timeout", "socket_keepalive"}
_TLS = _TCP | {
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_check_hostname",
    "ssl_ciphers",
}
_ENCODED = "in user and password write / ? # % @ as %2F %3F %23 %25 %40"
_OPTIONS: Mapping[str, frozenset[str]] = {"redis": _TCP, "rediss": _TLS, "unix": _ANYWHERE}
"""Scheme → what may follow the `?`. Of redis-py's others some have no form in a URL and are taken as text, others change what replies are made of."""


@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """Where the online store is, and how it is spoken to.

    Attributes:
        options: Of redis-py's connections, `connection_class` among them; the password too.
    """

    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, or a URL that begins with `redis://`, `rediss://` (TLS) or `unix://`; or `file:` and the path of a file that holds it.

        Raises:
            SettingError: redis-py would not read it, or would pass over a part of it in silence. No secret is in the message.
        """
        text = revealed(text, _SETTING)
        url = text if "://" in text else f"redis://{text}"
        try:
            parts = urlsplit(url)
            _refuse_ambiguous(parts)
            options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]  # redis-py's has no types
            _refuse_out_of_range(options)
            ConnectionPool(**options).make_connection()  # nothing is sent; it refuses what the connection does not take
        except SettingError:
            raise
        except (ValueError, TypeError, RedisError) as fault:
            # What urllib says quotes what it took for a port, which of a password with a / in it is a part of it.
            why = str(fault) if isinstance(fault, RedisError) or "connection URL" in str(fault) else "it cannot be read"
            raise _refused(f"{why}; {_ENCODED}") from None
        return cls(options=options)

    @property
    def where(self) -> str:
        """For people: without user and password."""
        return str(self.options.get("path") or f"{self.options.get('host', 'localhost')}:{self.options.get('port', 6379)}")

    def for_feast(self) -> str:
        """In the notation of Feast's own client, `host:port,db=4,password="…",ssl=true`, which holds the same options.

        Feast cuts it at commas, then at the first `=`, and reads each value as JSON (`RedisOnlineStore._parse_connection_string`), so a text is JSON's here:
        otherwise a password of digits would become a number, and one with a comma two parts.

        Raises:
            SettingError: Feast cuts host and port at a colon, so it cannot have an IPv6 address.
        """
        said = {name: value for name, value in self.options.items() if name not in ("host", "port", "path", "connection_class")}
        host = str(self.options.get("host", "localhost"))
        if not set(host).isdisjoint(":,="):
            raise _refused(f"host {host}: Feast's notation has no place for it; give the host a name without : , =")
        if "path" in self.options:
            said["unix_socket_path"] = self.options["path"]
        if self.options.get("connection_class") is SSLConnection:
            said["ssl"] = True
        values = {name: json.dumps(value).replace(",", "\\u002c") for name, value in said.items()}
        return ",".join([f"{host}:{self.options.get('port', 6379)}", *(f"{name}={value}" for name, value in values.items())])


def _refuse_ambiguous(parts: SplitResult) -> None:
    """Refuse what redis-py's parser passes over: it would be another server, another database, or no TLS option."""
    if parts.scheme not in _OPTIONS:
        raise _refused(f"begins with {parts.scheme}://; allowed are {', '.join(f'{scheme}://' for scheme in _OPTIONS)}")
    if "@" in parts.path + parts.fragment or ("@" in parts.query and "@" not in parts.netloc):
        raise _refused(f"it cannot be read; {_ENCODED}")  # and not by what stands there, which is the end of a password
    allowed = _OPTIONS[parts.scheme]
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            raise _refused(f"option {name}: {parts.scheme}:// does not take it; allowed are {', '.join(sorted(allowed))}")
        if not value:
            raise _refused(f"option {name}: has no value")
    if parts.fragment:
        raise _refused("has a #, and what is behind it is lost; write it as %23")
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise _refused("unix:// needs the whole path of the socket, as in unix:///run/valkey.sock?db=0")
    elif not parts.netloc.rpartition("@")[2].partition(":")[0]:
        raise _refused("names no host; it must be as redis://host:6379/0")
    elif parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise _refused("what is behind host:port/ must be the number of a database, as in redis://host:6379/0")


def _refuse_out_of_range(options: Mapping[str, Any]) -> None:
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not 0 < options.get(name, 1) < math.inf:
            raise _refused(f"option {name}: must be seconds above 0")
    for name, least in (("db", 0), ("health_check_interval", 0), ("max_connections", 1)):
        if options.get(name, least) < least:
            raise _refused(f"option {name}: must be a whole number from {least}")
    if options.get("ssl_check_hostname") and options.get("ssl_cert_reqs") == "none":
        raise _refused("option ssl_check_hostname: nothing is checked with ssl_cert_reqs=none; leave out one of the two")


def _refused(why: str) -> SettingError:
    return SettingError(f"{_SETTING}: {why}")
