"""What a store's server answers is told as what it is: by the classes of redis-py, and on a real Valkey."""

from __future__ import annotations

import inspect
import socket

import pytest
import redis
from redis import exceptions
from redis._parsers.base import BaseParser

from inference.online.redis.connection import Client, answering, connect
from inference.online.redis.refusals import refusal
from schemas.errors import ServiceError

ANSWERS = {
    "NOAUTH Authentication required.": "user and password",
    "WRONGPASS invalid username-password pair or user is disabled.": "user and password",
    "NOPERM User app has no permissions to run the 'hmget' command": "ACL",
    "LOADING Valkey is loading the dataset in memory": "try again",
    "READONLY You can't write against a read only replica.": "must name the primary",
    "OOM command not allowed when used memory > 'maxmemory'.": "maxmemory",
    "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.": "disk",
    "MOVED 3999 127.0.0.1:6381": "cluster",
    "ASK 3999 127.0.0.1:6381": "cluster",
    "CROSSSLOT Keys in request don't hash to the same slot": "cluster",
    "CLUSTERDOWN The cluster is down": "cluster",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "must name the primary",
    "NOREPLICAS Not enough good replicas to write.": "min-replicas-to-write",
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "busy",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "database of its own",
    "ERR max number of clients reached": "maxclients",
    "ERR unknown command 'HMGET'": "Redis 7",
    "ERR something else": "refuses a command",
}
ERRORS = [
    kind
    for kind in vars(exceptions).values()
    if inspect.isclass(kind) and issubclass(kind, exceptions.RedisError) and not issubclass(kind, exceptions.AskError)
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_never_told_as_a_server_that_does_not_run(answer: str) -> None:
    error = BaseParser.parse_error(answer)  # type: ignore[no-untyped-call]
    told = str(refusal(error, "store:6379"))
    assert told.startswith("redis store:6379: does not serve: ")
    assert ANSWERS[answer] in told
    assert "tidemark up" not in told and "\n" not in told


@pytest.mark.parametrize("kind", ERRORS)
def test_only_a_lost_connection_is_told_as_a_server_to_be_started(kind: type[Exception]) -> None:
    told = str(refusal(kind("because"), "store:6379"))
    assert ("start it with `tidemark up`" in told) == (kind in (redis.ConnectionError,))
    assert "because" in told


def test_nobody_there(unused: int) -> None:
    with pytest.raises(ServiceError, match=r"^redis 127.0.0.1:\d+: does not serve: .*; start it with `tidemark up` or set TIDEMARK_REDIS"):
        ask(connect(f"127.0.0.1:{unused}"))


def ask(client: Client) -> None:
    with answering(client):
        client.ping()


def test_what_a_real_server_refuses(valkey: str, client: Client) -> None:
    admin = redis.Redis(host="127.0.0.1", port=int(valkey.rpartition(":")[2]), single_connection_client=True)
    for break_it, mend_it, told in (
        (("CONFIG", "SET", "requirepass", "secret"), ("CONFIG", "SET", "requirepass", ""), "set both in TIDEMARK_REDIS"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "must name the primary"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "raise its maxmemory"),
    ):
        admin.execute_command(*break_it)  # type: ignore[no-untyped-call]
        try:
            with pytest.raises(ServiceError) as refused, answering(other := connect(valkey)):
                other.set("a", "b")
        finally:
            admin.execute_command(*mend_it)  # type: ignore[no-untyped-call]
        assert told in str(refused.value) and "tidemark up" not in str(refused.value)


@pytest.fixture
def unused() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
