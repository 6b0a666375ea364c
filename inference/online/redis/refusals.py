"""What Redis or Valkey said, as one of our errors: whether nobody answers, or what it refuses and why. Every fault of the store's server is told here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis import exceptions

from schemas.errors import ServiceError
from schemas.wording import sentence

_CREDENTIALS = "set both in TIDEMARK_REDIS: redis://user:password@host:port"
_ACL = "it forbids it to this user; its ACL must allow all commands and keys that the store needs"
_ONE_NODE = "it is one node of a cluster, and the online store is on one primary; TIDEMARK_REDIS must name such"
_START = "start it with `tidemark up` or set TIDEMARK_REDIS to one that runs"

_TOLD: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.AuthenticationError, f"it does not accept this user and password; {_CREDENTIALS}"),
    (exceptions.AuthenticationWrongNumberOfArgsError, f"it does not accept this user and password; {_CREDENTIALS}"),
    (exceptions.AuthorizationError, _ACL),
    (exceptions.NoPermissionError, _ACL),
    (exceptions.BusyLoadingError, "it is loading its data from disk; try again when it is through"),
    (exceptions.MaxConnectionsError, "it has no connection left; raise its maxclients, or run fewer clients"),
    (exceptions.ReadOnlyError, "it is a replica that takes no writes; TIDEMARK_REDIS must name the primary"),
    (exceptions.OutOfMemoryError, "it is full; raise its maxmemory"),
)
"""The first class that fits tells; subclasses of redis-py's ConnectionError are answers all the same."""

_BY_CODE = {
    "MISCONF": "it cannot save its data to disk, and takes no writes until it can; see its log and its disk",
    "MOVED": _ONE_NODE,
    "ASK": _ONE_NODE,
    "CROSSSLOT": _ONE_NODE,
    "CLUSTERDOWN": _ONE_NODE,
    "MASTERDOWN": "it is a replica that has lost its primary; TIDEMARK_REDIS must name the primary",
    "NOREPLICAS": "it has fewer replicas than its min-replicas-to-write asks for",
    "BUSY": "it is busy with a script of somebody's; try again",
    "WRONGTYPE": "it holds something else than Tidemark's under one of its keys; give the store a database of its own",
    "NOSCRIPT": "it forgets scripts as soon as it is given them; a proxy between must keep them",
    "max number of clients reached": "it has no connection left; raise its maxclients, or run fewer clients",
    "unknown command": "it does not know a command that the store needs; allowed are Redis 7 and Valkey",
}
"""Of an answer: how it begins → what that means."""


def refusal(error: Exception, server: str) -> ServiceError:
    """What to raise for an error of redis-py.

    Args:
        error: A RedisError, or an OSError of the connection.
        server: Its address, without credentials.
    """
    whole = isinstance(error, redis.ConnectionError)  # redis-py tells where in a first sentence and why in a second
    said = (" ".join(str(error).split()).removesuffix(".") if whole else sentence(str(error))) or type(error).__name__
    return ServiceError(f"redis {server}: does not serve: {said}; {_meaning(error, str(error))}")


@contextmanager
def telling(server: str) -> Iterator[None]:
    """Turn what another client of redis-py meets into a ServiceError.

    Args:
        server: Its address, without credentials.
    """
    try:
        yield
    except (exceptions.RedisError, ConnectionError) as error:
        raise refusal(error, server) from error


def _meaning(error: Exception, text: str) -> str:
    code = next((code for code in _BY_CODE if text.startswith(code)), None)
    if code is not None:
        return _BY_CODE[code]
    for kind, told in _TOLD:
        if isinstance(error, kind):
            return told
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return "it is busy, hangs, or is another than TIDEMARK_REDIS means; see its log"
    if isinstance(error, redis.ConnectionError | OSError):
        return _START
    return "it answers, and refuses a command"
