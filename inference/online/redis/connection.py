"""The connection to Redis or Valkey: pipelines of scripts, and one clear line when nobody answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from inference.online.redis.address import StoreAddress
from inference.online.redis.refusals import refusal

Client = redis.Redis

_TIMEOUT_S = 10.0
_RETRIES = 2
_FRESH_S = 1.0
_PART_BYTES = 32 << 10  # of commands that the server works on while the next are written


def connect(address: str) -> Client:
    """A client for `host:port` or a URL, as `StoreAddress` reads it; nothing is sent yet.

    A command is tried again after a lost connection: everything sent here is idempotent.

    Raises:
        SettingError: It is no such address.
    """
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES)
    errors: list[type[Exception]] = [redis.ConnectionError, redis.TimeoutError]
    timeouts: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    options = {**timeouts, **StoreAddress.parse(address).options}
    return redis.Redis.from_pool(_Pool(retry=retry, retry_on_error=errors, **options))


class _Pool(redis.ConnectionPool):
    """Hands out a connection that was used just now as it is.

    redis-py looks at the socket first, which takes as long as the server does. A connection that is lost after all is found when it is used, and what was
    asked is asked again.
    """

    _released_s = 0.0

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """One that is in nobody's use."""
        self._checkpid()
        with self._lock:
            fresh = self._available_connections and time.monotonic() - self._released_s < _FRESH_S
            connection = self._available_connections.pop() if fresh else None
            if connection is not None:
                self._in_use_connections.add(connection)
        return super().get_connection() if connection is None else connection

    def release(self, connection: Any) -> None:
        """Take it back: the next is this one."""
        self._released_s = time.monotonic()
        super().release(connection)


class answering:  # noqa: N801  # reads as what it is: with answering(client)
    """Turn the client's errors into a ServiceError that names the server and what to do.

    A class, which a read enters and leaves in a third of the time of a generator.
    """

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        """Of the client that is asked inside."""
        self._client = client

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Raises ServiceError instead of the client's."""
        if isinstance(error, (RedisError, OSError)):
            raise refusal(error, StoreAddress(options=self._client.connection_pool.connection_kwargs).where) from error


class Script:
    """A Lua script of this folder."""

    def __init__(self, *names: str) -> None:
        """Read it: one file after the other, as if they were one."""
        self.text = "".join(map(_text, names))
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()  # how Redis names a script

    def run(self, client: Client, calls: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> list[Any]:
        """Run it once per (keys, arguments), in order, in one round trip; a server that forgot the script gets it again.

        Raises:
            ServiceError: The server does not answer or refuses.
        """
        if not calls:
            return []
        with answering(client):
            replies = self._send(client, calls)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                client.script_load(self.text)
                replies = self._send(client, calls)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    def _send(self, client: Client, calls: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> list[Any]:
        commands = [("EVALSHA", self.sha, len(keys), *keys, *arguments) for keys, arguments in calls]

        def parts(connection: Any) -> Iterator[bytes]:
            part, size = list[bytes](), 0
            for command in commands:
                packed = connection.pack_command(*command)
                part += packed
                size += sum(map(len, packed))
                if size >= _PART_BYTES:
                    yield b"".join(part)
                    part, size = [], 0
            if part:
                yield b"".join(part)

        return _ask(client, parts, len(commands))


@cache
def _text(name: str) -> str:
    return (Path(__file__).parent / f"{name}.lua").read_text()


def hmget_many(client: Client, groups: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[list[list[bytes | None]]]:
    """The same fields of many hashes, group by group, in one round trip and in order.

    The commands are written as RESP bytes here: redis-py's pipeline costs several times the server's own work.

    Args:
        client: From `connect`.
        groups: (keys, fields) each.

    Returns:
        For each group, for each key, the values of the fields.

    Raises:
        ServiceError: The server does not answer.
    """
    payload = b"".join([_hmgets(keys, tuple(fields)) for keys, fields in groups])
    ends = list(accumulate([len(keys) for keys, _ in groups], initial=0))
    with answering(client):
        answers = _ask(client, lambda _: (payload,), ends[-1])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return [answers[begin:end] for begin, end in pairwise(ends)]


def _ask(client: Client, parts: Callable[[Any], Iterable[bytes]], replies: int) -> list[Any]:
    """Send commands as RESP bytes, part by part, so that the server works while the next part is written; then read so many replies.

    Args:
        client: From `connect`.
        parts: Writes the commands for a connection; called again when that is lost.
        replies: How many come.

    Returns:
        The replies, of a command that was refused the error.
    """

    def ask() -> list[Any]:
        for part in parts(connection):
            connection.send_packed_command([part])
        return _replies(connection, replies)

    connection = client.connection_pool.get_connection()
    done = False
    try:
        answers: list[Any] = connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
        done = True
        return answers
    finally:
        if not done:
            connection.disconnect()  # never give back a connection with replies still under way
        client.connection_pool.release(connection)


def _replies(connection: Any, number: int) -> list[Any]:
    """The next replies, in one call: hiredis is told that they are one list, which it then makes of them without Python in between.

    It is fed here: redis-py's calls for each reply cost more than the reply, and those for one as much as the server.
    """
    parser = connection._parser
    reader, buffer, sock = parser._reader, parser._buffer, connection._sock
    reader.feed(b"*%d\r\n" % number)
    answers: Any = None
    try:
        while not isinstance(answers, list):  # hiredis tells that there is not enough yet
            if not (size := sock.recv_into(buffer)):
                raise redis.ConnectionError("Connection closed by server.")
            reader.feed(buffer, 0, size)
            answers = reader.gets(False)
    except TimeoutError as error:
        raise redis.TimeoutError("Timeout reading from socket") from error
    except OSError as error:
        raise redis.ConnectionError(f"Error while reading from socket: {error.args}") from error
    return answers


def _hmgets(keys: Sequence[bytes], fields: tuple[bytes, ...]) -> bytes:
    _, tail = _around(fields)
    return b"".join([b"".join((_head(fields, len(key)), key, tail)) for key in keys])


@lru_cache(maxsize=4096)
def _head(fields: tuple[bytes, ...], length: int) -> bytes:
    """What is before a key of a length; of views there are few."""
    head, _ = _around(fields)
    return b"%b%d\r\n" % (head, length)


@lru_cache(maxsize=1024)
def _around(fields: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """What is before the size of a key, and behind the key."""
    head = b"*%d\r\n$5\r\nHMGET\r\n$" % (2 + len(fields))
    return head, b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)
