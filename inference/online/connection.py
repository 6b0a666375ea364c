"""The online store of a URL: the one place that knows its implementations."""

from __future__ import annotations

from inference.online.redis.connection import connect as connect_redis
from inference.online.redis.store import RedisStore
from inference.online.store import OnlineStore


def connect(address: str) -> OnlineStore:
    """The store at `host:port`, or at a URL that begins with `redis://`, `rediss://` (TLS) or `unix://`; nothing is sent yet.

    Raises:
        SettingError: It is no such address.
    """
    return RedisStore(connect_redis(address))
