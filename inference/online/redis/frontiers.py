"""The frontiers and marks of a generation, in Redis (`marks.lua`), published where Feast reads them too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.online.frontier import NEVER_MS, Account, Completeness, Frontiers, Lost, Opened, Place, State
from inference.online.redis.connection import Client, Script, answering
from inference.online.redis.layout import (
    ACTIVE_KEY,
    FORGETS,
    INCARNATION,
    frontier_fields,
    frontier_key,
    int64_of,
    serving_field,
    since_fields,
)


class RedisFrontiers(Frontiers):
    """One script does all, so that each verb is atomic."""

    def __init__(self, client: Client, *, project: str = "tidemark") -> None:
        """Name the server and Feast's project."""
        self._client = client
        self._marks = Script("marks")
        self._prefix = f"tidemark:{project}:"
        self._keys = [f"{self._prefix}marks", frontier_key(project), ACTIVE_KEY]
        self._serving_field = serving_field(project)

    def open(self, places: Sequence[Place] = ()) -> Opened:
        """Run the task of `marks.lua`."""
        incarnation, server, written, forgets, *rest = self._run("open", *map(_name, places))
        return Opened(
            incarnation=incarnation,
            server=server,
            written=written,
            forgets=bool(forgets),
            at={place: int(at) if at else None for place, at in zip(places, rest[::2], strict=True)},
            lost={place: int(lost) if lost else None for place, lost in zip(places, rest[1::2], strict=True)},
        )

    def account(
        self, opened: Opened, accounts: Mapping[str, Account], offsets: Mapping[Place, int] | None = None
    ) -> dict[str, int | None] | None:
        """Run the task of `marks.lua`."""
        told: list[Any] = [opened.incarnation, opened.server, len(offsets or {})]
        for place, offset in (offsets or {}).items():
            told += (_name(place), offset)
        told.append(len(accounts))
        for view, account in accounts.items():
            told += (view, account.tile_ms, *frontier_fields(view), b"".join(since_fields(view)))
            told.append(len(account.stored) + len(account.closings))
            for tile_end, keys in sorted(account.stored.items()):
                told += (tile_end, -1, len(keys), *keys)
            for tile_end, tiles in account.closings:
                told += (tile_end, tiles, 0)
        reached = self._run("account", *told)
        return None if reached is None else {view: int(each) if each else None for view, each in zip(accounts, reached, strict=True)}

    def begin(self, opened: Opened, incarnation: str, lost: Mapping[Place, int], views: Mapping[str, Lost]) -> bool:
        """Run the task of `marks.lua`."""
        told: list[Any] = [opened.incarnation, incarnation, INCARNATION, self._serving_field, len(lost)]
        for place, offset in lost.items():
            told += (_name(place), offset)
        told.append(len(views))
        for view, each in views.items():
            floor = "" if not each.lost else "-inf" if each.floor_ms is None else each.floor_ms
            told += (view, b"".join(since_fields(view)), each.span_ms, floor)
        return bool(self._run("begin", *told))

    def suspect(self, opened: Opened, places: Sequence[Place]) -> bool:
        """Run the task of `marks.lua`."""
        return bool(self._run("suspect", opened.incarnation, opened.written, *map(_name, places)))

    def forget(self, forgets: bool) -> None:
        """Run the task of `marks.lua`."""
        self._run("forget", FORGETS, int(forgets))

    def complete(self, views: Sequence[str]) -> None:
        """Run the task of `marks.lua`."""
        self._run("complete", *views)

    def known(self, views: Sequence[str]) -> dict[str, Completeness]:
        """Read what is published."""
        if not views:
            return {}
        fields = [field(view)[0] for field in (frontier_fields, since_fields) for view in views]
        with answering(self._client):
            key: Any = self._keys[1]  # bytes, which redis-py takes and its annotations deny
            values: list[Any] = self._client.hmget(key, fields)  # type: ignore[assignment]
        pairs = zip(views, values[: len(views)], values[len(views) :], strict=True)
        return {view: Completeness(frontier_ms=int64_of(frontier), since_ms=int64_of(since)) for view, frontier, since in pairs}

    def state(self) -> State:
        """Read the marks."""
        with answering(self._client):
            said: Any = self._client.hgetall(self._keys[0])  # type: ignore[arg-type]
        marks = {name.decode(): value for name, value in said.items() if not name.startswith(b"fields:")}
        since = {name.removeprefix("since:"): value for name, value in marks.items() if name.startswith("since:")}
        return State(
            incarnation=marks.get("incarnation", b"").decode(),
            suspects=int(marks.get("suspects", 0)),
            since_ms={view: NEVER_MS if value == b"never" else int(value) for view, value in sorted(since.items())},
        )

    def _run(self, task: str, *told: Any) -> Any:
        (reply,) = self._marks.run(self._client, [(self._keys, [task, self._prefix, *told])])
        return reply


def _name(place: Place) -> str:
    return f"{place[0]}/{place[1]}"
