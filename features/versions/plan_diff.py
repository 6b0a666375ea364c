"""What a change of definitions does: what was applied beside what the definitions say now, as plain data, no engine and no service asked.

A change of a view is breaking when its tiles would mean something else: the tiles that were kept, on Kafka and in the store, cannot be used any more.
A hop that changes the levels of tiles breaks nothing on Kafka, which has small tiles alone; the store merges them anew, in another generation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from features.durations import show
from features.levels import levels_ms, reaches_ms
from features.plan import Plan, ServicePlan, ViewPlan, describe_service, describe_view
from features.tiles.codec import TileCodec
from features.window import Sliding
from schemas.schema import Schema

Record = Mapping[str, Any]

OF_THE_STREAM = ("lateness_ms", "dedupe_ms")
"""What a view's record says of how its events are counted, beside the content of its tiles."""

_PARTS = ("features", "partials", "view")  # of a view's description, that are compared one by one or say nothing


class Kind(StrEnum):
    """What became of a view or service."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


ALL_HISTORY_MS = 1 << 52
"""What `Lifetime` features lack: as long before now as there is anything."""


@dataclass(frozen=True, kw_only=True)
class ViewChange:
    """A view that is not what was applied.

    Attributes:
        name: Its name.
        kind: What became of it.
        source: Whose job computes it.
        breaking: Whether its kept tiles are of no more use.
        differences: Each in a line.
        stream: Whether one of them is of how the stream counts: its lateness, or how long repeats are recognised.
        other_levels: Whether the store is to keep tiles of other levels: what it has of the view counts for nothing, until another generation is filled.
        lacks_ms: How long before now history is missing for its windows: (from, to), in ms before the newest event; None where nothing is.
        services: Services of the definitions, or applied ones, that contain it.
    """

    name: str
    kind: Kind
    source: str
    breaking: bool
    differences: tuple[str, ...] = ()
    stream: bool = False
    other_levels: bool = False
    lacks_ms: tuple[int, int] | None = None
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ServiceChange:
    """A service that is not what was applied.

    Attributes:
        name: Its name.
        kind: What became of it.
        differences: Each in a line.
        before: Its version as applied; None when it was not.
        after: Its version now; None when it is removed.
    """

    name: str
    kind: Kind
    differences: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All that is not as it was applied, in name order."""

    views: tuple[ViewChange, ...]
    services: tuple[ServiceChange, ...]

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.views or self.services)


def view_record(view: ViewPlan) -> dict[str, Any]:
    """What is kept of a view that is applied."""
    return {
        "description": describe_view(view),
        "layout": TileCodec(view=view).layout.hex(),
        "fingerprint": view.fingerprint,
        "longest_window_ms": view.longest_window_ms,
        "lateness_ms": view.source.lateness_ms,
        "dedupe_ms": view.source.dedupe_ms,
    }


def schema_record(schema: Schema) -> dict[str, Any]:
    """What of a schema changes the values that are read from files: of each field its type, its default, and what is refused."""
    return {
        field.name: {"type": str(field.type), "nullable": field.nullable, "non_finite": field.non_finite_allowed}
        | ({"holds": field.expected} if field.is_32_bits or field.is_single else {})
        | ({} if field.default is None else {"default": field.default})
        for field in schema.fields
    }


def service_record(service: ServicePlan) -> dict[str, Any]:
    """What is kept of a service that is applied."""
    return {"description": describe_service(service), "fingerprint": service.fingerprint}


def changes(views: Mapping[str, Record], services: Mapping[str, Record], plan: Plan, *, slack_ms: int) -> Changes:
    """Compare.

    Args:
        views: Name → `view_record` of each view that was applied.
        services: Name → `service_record` of each service that was.
        plan: The definitions.
        slack_ms: How much longer than the longest window the store keeps tiles.
    """
    viewed = []
    for name in sorted(views.keys() | plan.views.keys()):
        before, after = views.get(name), plan.views.get(name)
        containing = {s.name for s in plan.services.values() if name in {view.name for view in s.views}}
        containing |= {service for service, record in services.items() if name in record["description"]["views"]}
        change = _view(name, before, after, tuple(sorted(containing)), slack_ms)
        if change is not None:
            viewed.append(change)
    served = [_service(name, services.get(name), plan.services.get(name)) for name in sorted(services.keys() | plan.services.keys())]
    return Changes(views=tuple(viewed), services=tuple(change for change in served if change is not None))


def tile_differences(before: Record, after: ViewPlan) -> tuple[str, ...]:
    """Why the tiles of a view mean something else than when it was applied; empty where they do not."""
    if before["layout"] == TileCodec(view=after).layout.hex():
        return ()
    old, new = before["description"], view_record(after)["description"]
    bases = [any(feature["window_ms"] is None for feature in each["features"].values()) for each in (old, new)]
    base = () if bases[0] == bases[1] else (f"{'+' if bases[1] else '−'} bases of Lifetime features, in the store",)
    return (*_values(old, new, ignored=(*_PARTS, "entity", "delay_ms")), *_named(old["partials"], new["partials"], "tile column"), *base)


def view_differences(before: Record, after: Record) -> list[str]:
    """What two records of a view differ in, each in a line."""
    old, new = before["description"], after["description"]
    stream, streamed = ({name: record[name] for name in OF_THE_STREAM} for record in (before, after))
    return [
        *_values(old, new, ignored=_PARTS),
        *_values(stream, streamed, ignored=()),
        *_named(old["partials"], new["partials"], "tile column"),
        *_named(old["features"], new["features"], "feature"),
    ]


def schema_differences(old: Record, new: Record) -> list[str]:
    """What two records of a schema differ in, each in a line."""
    return [*_named(old, new, "field")]


def service_differences(old: Record, new: Record) -> list[str]:
    """What two descriptions of a service differ in, each in a line."""
    parts = (("views", "view"), ("features", "feature"), ("request_features", "request feature"), ("derived", "derived feature"))
    named = [line for part, word in parts for line in _named(old.get(part, {}), new.get(part, {}), word)]
    return [*_values(old, new, ignored=("service", *(part for part, _ in parts))), *named]


def _view(name: str, before: Record | None, after: ViewPlan | None, services: tuple[str, ...], slack_ms: int) -> ViewChange | None:
    if after is None:
        assert before is not None
        return ViewChange(name=name, kind=Kind.REMOVED, source=before["description"]["source"], breaking=True, services=services)
    longest_ms = ALL_HISTORY_MS if after.has_lifetime else after.longest_window_ms
    if before is None:
        return ViewChange(name=name, kind=Kind.ADDED, source=after.source.name, breaking=False, lacks_ms=(longest_ms, 0), services=services)
    of_tiles, now = tile_differences(before, after), view_record(after)
    others = [line for line in view_differences(before, now) if line not in of_tiles]
    if not of_tiles and not others:
        return None
    levels, newer = _levels_ms(before["description"]), _levels_ms(now["description"])
    other_levels = levels != newer and not of_tiles
    if other_levels:
        others.append(f"levels of tiles, in the store: {', '.join(map(show, levels))} → {', '.join(map(show, newer))}")
    return ViewChange(
        name=name,
        kind=Kind.CHANGED,
        source=after.source.name,
        breaking=bool(of_tiles),
        differences=(*of_tiles, *others),
        stream=any(before[name] != now[name] for name in OF_THE_STREAM),
        other_levels=other_levels,
        lacks_ms=(longest_ms, 0) if of_tiles or other_levels else _longer(before["description"], now["description"], newer, slack_ms),
        services=services,
    )


def _windows(description: Record) -> list[Sliding]:
    """The windows of a view, as its description has them."""
    features = [feature for feature in description["features"].values() if feature["window_ms"] is not None]
    return [Sliding(size_ms=feature["window_ms"], hop_ms=feature.get("hop_ms", 1)) for feature in features]


def _levels_ms(description: Record) -> tuple[int, ...]:
    """The levels of a view's tiles, as its description has them; see `ViewPlan.levels_ms`."""
    lifetime = any(feature["window_ms"] is None for feature in description["features"].values())
    return levels_ms(description["tile_ms"], [] if lifetime else [window.hop_ms for window in _windows(description)])


def _longer(old: Record, new: Record, sizes_ms: Sequence[int], slack_ms: int) -> tuple[int, int] | None:
    """What windows lack that need tiles of a level from further back than these were kept; what was before that, the bases of `Lifetime` have."""
    reaches = zip(reaches_ms(_windows(new), sizes_ms), reaches_ms(_windows(old), sizes_ms), strict=True)
    lacking = [(needs, keeps + slack_ms) for needs, keeps in reaches if needs > keeps + slack_ms]
    return (max(needs for needs, _ in lacking), min(kept for _, kept in lacking)) if lacking else None


def _service(name: str, before: Record | None, after: ServicePlan | None) -> ServiceChange | None:
    if after is None:
        assert before is not None
        return ServiceChange(name=name, kind=Kind.REMOVED, before=before["fingerprint"])
    if before is None:
        return ServiceChange(name=name, kind=Kind.ADDED, after=after.fingerprint)
    if before["fingerprint"] == after.fingerprint:
        return None
    differences = service_differences(before["description"], service_record(after)["description"])
    return ServiceChange(
        name=name, kind=Kind.CHANGED, differences=tuple(differences), before=before["fingerprint"], after=after.fingerprint
    )


def _values(old: Record, new: Record, *, ignored: tuple[str, ...]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in ignored and old.get(name) != new.get(name):
            yield f"{name.removesuffix('_ms')}: {_shown(name, old.get(name))} → {_shown(name, new.get(name))}"


def _named(old: Record, new: Record, word: str) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"− {word} {name}"
        elif name not in old:
            yield f"+ {word} {name}"
        elif old[name] != new[name]:
            if isinstance(old[name], Mapping) and isinstance(new[name], Mapping):
                yield f"~ {word} {name}, {'; '.join(_values(old[name], new[name], ignored=()))}"
            else:
                yield f"~ {word} {name}: {old[name]} → {new[name]}"


def _shown(name: str, value: object) -> str:
    if value is None:
        return "all time" if name == "window_ms" else "none"
    if name.endswith("_ms") and isinstance(value, int):
        return show(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
