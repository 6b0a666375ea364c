"""Whether a server may lose what was written to it while all goes well: keys that it evicts when memory is short, or everything when it restarts."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from inference.online.redis.connection import Client, answering

_EVICTS = "redis: maxmemory-policy other than noeviction removes keys when maxmemory is reached, and nobody could tell which; set it to noeviction"
_FORGETS = 'redis: appendonly is no and save is "": a restart loses all that was written; set appendonly to yes'


def evicts(client: Client) -> str | None:
    """As of `OnlineStore.evicts`."""
    with answering(client):
        memory: Any = client.info("memory")
    return _EVICTS if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction" else None


def forgets(client: Client) -> str | None:
    """As of `OnlineStore.forgets`."""
    with answering(client):
        kept: Any = client.info("persistence")
        if int(kept.get("aof_enabled", 0)):
            return None
        try:
            told: Any = client.config_get("save")
        except ResponseError:
            return None
    return _FORGETS if told.get("save", "?") == "" else None
