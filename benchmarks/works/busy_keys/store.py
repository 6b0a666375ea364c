"""Cards that differ in how many tiles a window of them has, and our store filled with those."""

from __future__ import annotations

from benchmarks.busy import inputs
from benchmarks.busy.cases import CALLS, CARDS, TILES, VIEW, WINDOW, Case
from benchmarks.busy.inputs import END, MINUTE_MS, SLACK, Events
from features.plan import ServicePlan, ViewPlan
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter


def service() -> tuple[ServicePlan, ViewPlan]:
    """What is asked for, and its only view."""
    found = inputs.service(VIEW)
    return found, found.views[0]


def events() -> Events:
    """Of as long as the store keeps; a window has each number of tiles, of so many cards."""
    return inputs.now_and_then([WINDOW // tiles for tiles in TILES], cards=CARDS, minutes=WINDOW + SLACK)


def fill(client: Client, view: ViewPlan, given: Events) -> None:
    """Store all tiles, and close them."""
    writer = TileWriter(view, RedisStore(client), slack_ms=SLACK * MINUTE_MS)
    writer.write(given.tiles(view))
    writer.close(END * MINUTE_MS, 0)


def asked(case: Case, given: Events) -> list[list[str]]:
    """The cards of each call."""
    return [[given.cards[card] for card in case.chosen(call)] for call in range(CALLS)]
