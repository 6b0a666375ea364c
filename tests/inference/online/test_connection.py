"""Many commands go out in parts and come back in order; one that is refused leaves the connection as it was."""

from __future__ import annotations

from typing import Any

import pytest

from inference.online.redis.connection import Client, Script, hmget_many
from schemas.errors import ServiceError


def replacing(count: int) -> list[tuple[list[Any], list[Any]]]:
    """Calls that change nothing and answer 0, but for every third, whose key has what it asks for."""
    return [([f"key {number}".encode()], [b"field", b"", b"", b"", sha_of(number), b"new"]) for number in range(count)]


def sha_of(number: int) -> str:
    return "c2543fff3bfa6f144c2f06a7de6cd10c0b650cae" if number % 3 == 0 else "0" * 40  # sha1 of "this"


def test_more_calls_than_are_sent_at_once_are_answered_in_order(client: Client) -> None:
    for number in range(1_001):
        client.hset(f"key {number}", "field", "this")
    client.script_flush()
    assert Script("packed_tiles", "replace_value").run(client, replacing(1_001)) == [int(number % 3 == 0) for number in range(1_001)]
    (values,) = hmget_many(client, [([f"key {number}".encode() for number in range(3)], [b"field", b"other"])])
    assert values == [[b"new", None], [b"this", None], [b"this", None]]


def test_after_a_refused_command_the_others_replies_are_not_taken_for_the_next_ones(client: Client) -> None:
    client.hset("good", "field", "this")
    client.set("wrong", "no hash")
    for _ in range(2):
        with pytest.raises(ServiceError, match="WRONGTYPE"):
            hmget_many(client, [([b"good", b"wrong", b"good"], [b"field"])])
        with pytest.raises(ServiceError, match="WRONGTYPE"):
            Script("packed_tiles", "replace_value").run(
                client, [([key], [b"field", b"", b"", b"", "", b"new"]) for key in (b"good", b"wrong", b"good")]
            )
        assert hmget_many(client, [([b"good"], [b"field"]), ([b"good"], [b"other"])]) == [[[b"this"]], [[None]]]
