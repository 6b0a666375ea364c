"""What a million events a second of a thousand million keys would take, from what was measured here: the table of it in `docs/benchmarks.md`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from benchmarks import results
from benchmarks.benchmark import CORES
from benchmarks.works import features_keys, memory, online_write, score
from features.tiles.codec import HEAD

EVENTS_PER_S, KEYS, REQUESTS_PER_S = 1_000_000, 1_000_000_000, 100_000
BUSY = 0.7
"""How much of a core is used at most, so that there is room to catch up."""
WINDOW_S, TILE_S, LATENESS_S = 3_600, 60, 5
STORE_BYTES = 64 * 2**30
"""Of one Valkey."""
TILE_BYTES = 45
"""Of a tile of a count, a sum and a maximum in the store: see `features.tiles.codec`."""

_TABLE = re.compile(r"(<!-- sizing: [^\n]*-->\n).*?(<!-- /sizing -->)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Medians of the kept results.

    Attributes:
        event_s: CPU of the Flink cluster for an event of a million keys, one view.
        view_s: The same of each further view.
        serial_s: Of that, the thread that brings all messages of a source into one order and archives them.
        open_tile_bytes: Of the cluster, for each tile that is open.
        tile_s: Cores times seconds that a tile takes on its way into the store, the store's own among them.
        request_s: Of a core, for a request.
        key_bytes: Of the store, for a key with one view, without its tiles.
    """

    event_s: float
    view_s: float
    serial_s: float
    open_tile_bytes: float
    tile_s: float
    request_s: float
    key_bytes: float

    @classmethod
    def of(cls, kept: results.Results) -> Measured:
        """From all benchmarks' results."""

        def figure(benchmark: str, contender: str, name: str) -> float:
            median: float = kept["benchmarks"][benchmark]["contenders"][contender]["figures"][name]["median"]
            return median

        keys = features_keys.NAMES
        one, four = (figure("features_keys", name, features_keys.COST) for name in (keys["100k"], features_keys.VIEWS))
        peaks = [figure("features_keys", keys[size], "peak_bytes") for size in ("1k", "1m")]
        store = [figure("memory", memory.OURS, name) for name in ("store_per_key_and_view_bytes", "tiles_own_bytes")]
        return cls(
            event_s=figure("features_keys", keys["1m"], features_keys.COST) / 1e6,
            view_s=(four - one) / 3 / 1e6,
            serial_s=figure("features_keys", keys["1m"], features_keys.SERIAL) / 1e6,
            open_tile_bytes=(peaks[1] - peaks[0]) / (features_keys.KEYS["1m"] - features_keys.KEYS["1k"]),
            tile_s=CORES / figure("online_write", online_write.OURS, "tiles_per_s"),
            request_s=1 / figure("score", score.ONE, "requests_of_a_core_per_s"),
            key_bytes=store[0] - store[1] + HEAD.size,
        )


def written(text: str, kept: results.Results) -> str:
    """A page with the table; as it was where not all that it needs has been measured."""
    try:
        measured = Measured.of(kept)
    except KeyError:
        return text
    return _TABLE.sub(lambda found: found[1] + markdown(measured) + found[2], text)


def markdown(measured: Measured) -> str:
    """The table, and what ends first."""
    events_per_key_s = EVENTS_PER_S / KEYS
    tiles_per_key = min(WINDOW_S / TILE_S, events_per_key_s * WINDOW_S)
    key_bytes = measured.key_bytes + tiles_per_key * TILE_BYTES
    open_tiles = min(KEYS, EVENTS_PER_S * (TILE_S + LATENESS_S))
    slots = _up(EVENTS_PER_S * measured.event_s / BUSY)
    sources = _up(EVENTS_PER_S * measured.serial_s / BUSY)
    writers = _up(EVENTS_PER_S * measured.tile_s / BUSY)
    scorers = _up(REQUESTS_PER_S * measured.request_s / BUSY)
    stores = max(_up(KEYS * key_bytes / STORE_BYTES), _up(EVENTS_PER_S * measured.tile_s / CORES / BUSY), sources)
    groups = 2 ** math.ceil(math.log2(4 * slots))
    rows = [
        ("part", "measured", "needed"),
        (
            "`features`: cores, and so slots",
            f"{measured.event_s * 1e6:.1f} µs of CPU an event, {measured.view_s * 1e6:.1f} µs more for each further view",
            f"{slots} for one view, {_up(EVENTS_PER_S * measured.view_s / BUSY)} more for each further one",
        ),
        (
            "`features`: the order of a source",
            f"{measured.serial_s * 1e6:.1f} µs an event of one thread: {_round(1 / measured.serial_s)} events/s a source",
            f"**{sources} sources**: topics that each have their views and their frontier",
        ),
        (
            "Kafka partitions of all event topics",
            "a subtask reads whole partitions",
            f"{slots}, a multiple of the sources: {_multiple(slots, sources)}",
        ),
        (
            "Flink key groups (`pipeline.max-parallelism`)",
            "fixed for the life of a job's state",
            f"{groups}: four for each slot, so that it can grow",
        ),
        (
            "`features`: state",
            f"{measured.open_tile_bytes:,.0f} B an open tile",
            f"{open_tiles * measured.open_tile_bytes / 2**30:,.0f} GiB of heap over all TaskManagers for {open_tiles / 1e6:,.0f} million open tiles",
        ),
        (
            "store: memory",
            f"{measured.key_bytes:,.0f} B a key and view, {TILE_BYTES} B a tile of three numbers",
            f"{KEYS * key_bytes / 2**30:,.0f} GiB: **{_up(KEYS * key_bytes / STORE_BYTES)} Valkeys** of {STORE_BYTES // 2**30} GiB, "
            f"with {tiles_per_key:.1f} tiles a key",
        ),
        (
            "`materialize`: cores, the store's among them",
            f"{measured.tile_s * 1e6:.1f} µs a tile",
            f"{writers}, where every event is a tile of its own, as with so many keys",
        ),
        (
            f"`score`: slots, for {REQUESTS_PER_S:,} requests/s",
            f"{measured.request_s * 1e6:.1f} µs of a core a request",
            f"{scorers}; as many partitions of requests, and of a model by key a multiple of them as shards",
        ),
    ]
    table = [f"| {' | '.join(row)} |" for row in rows]
    one_store = STORE_BYTES / key_bytes
    return "\n".join([table[0], "|---|---|---|", *table[1:]]) + (
        f"\n\nWhat ends first is the store: one Valkey of {STORE_BYTES // 2**30} GiB holds {_round(one_store)} keys, and takes {_round(CORES / measured.tile_s)} "
        f"tiles a second of one writer, beside {_round(1 / measured.serial_s)} events a second that one source's order carries. A source and a store are not cut further by Tidemark itself: "
        f"{stores} slices of the keys, each with its topics, its jobs and its Valkey, are what there is then.\n"
    )


def _up(number: float) -> int:
    return math.ceil(number)


def _multiple(number: int, of: int) -> int:
    return _up(number / of) * of


def _round(number: float) -> str:
    """Two digits that matter."""
    digits = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / digits) * digits:,}"
