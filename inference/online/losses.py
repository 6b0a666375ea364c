"""Whether a server may lose what was written to it while all goes well: keys that it evicts when memory is short, or everything when it restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from features.plan import ViewPlan
from inference.online.connection import Client, answering
from schemas.errors import SettingError


def evicts(client: Client) -> bool:
    """Whether it may remove single keys.

    Raises:
        ServiceError: It does not answer.
    """
    with answering(client):
        memory: Any = client.info("memory")
    return bool(int(memory.get("maxmemory", 0))) and memory.get("maxmemory_policy") != "noeviction"


def forgets(client: Client) -> bool:
    """Whether nothing of it survives a restart; one that does not tell is taken to be kept by whoever runs it.

    Raises:
        ServiceError: It does not answer.
    """
    with answering(client):
        kept: Any = client.info("persistence")
        if int(kept.get("aof_enabled", 0)):
            return False
        try:
            told: Any = client.config_get("save")
        except ResponseError:
            return False
    return bool(told.get("save", "?") == "")


def refuse_losses(client: Client, views: Iterable[ViewPlan], *, loss: str) -> None:
    """Refuse a store that may lose data unseen.

    Args:
        client: From `connect`.
        views: All that are written.
        loss: `refuse`, or `stale` where reads say what may be lost.

    Raises:
        ServiceError: It does not answer.
        SettingError: It may lose data; all that is wrong with it, a line each.
    """
    problems = []
    evicting = evicts(client)
    ever = ", ".join(repr(view.name) for view in views if view.has_lifetime)
    if loss == "refuse":
        advice = "or let reads of it be stale by TIDEMARK_ONLINE_LOSS=stale"
        if evicting:
            policy = "maxmemory-policy other than noeviction removes keys when maxmemory is reached"
            problems.append(f"redis: {policy}, and nobody could tell which; set it to noeviction, {advice}")
        if forgets(client):
            kept = 'appendonly is no and save is ""'
            problems.append(f"redis: {kept}: a restart loses all that was written; set appendonly to yes, {advice}")
    elif evicting and ever:
        problems.append(f"TIDEMARK_ONLINE_LOSS: view {ever} has Lifetime features, which would begin anew with each key that is evicted")
    if problems:
        raise SettingError("\n".join(problems))
