"""`tidemark check`: compiles all definitions and shows what they declare and what their windows cost; every problem is a line of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from features.catalog import load
from features.durations import show
from features.plan import Plan
from features.window import Sliding, Window
from features.window_costs import ViewCost, WindowCost
from infra.settings import Settings
from jobs.report.text_table import aligned

COMMANDS = {"check": "Check all definitions"}


def command() -> None:
    """Check the definitions (TIDEMARK_DEFINITIONS) against their schemas (TIDEMARK_SCHEMAS).

    What a window costs is told of a key with events in every tile: the tiles that a read folds, and the bytes that the online store keeps
    (TIDEMARK_TILE_SLACK included); of a window as if it were the only one of its view.
    """
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    costs = [ViewCost.of(view, slack_ms=settings.tile_slack_ms) for view in plan.views.values()]
    tables = [_views(costs), _windows(costs), *([_services(plan)] if plan.services else [])]
    print("\n\n".join(map(aligned, tables)), flush=True)
    for cost in costs:
        for line in _warnings(cost):
            print(f"check: {line}", file=sys.stderr)


def _views(costs: Sequence[ViewCost]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("VIEW", "SOURCE", "KEYS", "TILE", "DELAY", "WINDOWS", "FEATURES", "BYTES/KEY", "VERSION")]
    for cost in costs:
        view = cost.view
        keys = ",".join(key.name for key in view.keys)
        sizes = sorted({feature.window.size_ms for feature in view.features if isinstance(feature.window, Sliding)})
        windows = ",".join([*map(show, sizes), *(["lifetime"] if view.has_lifetime else [])])
        durations, kept = (show(view.tile_ms), show(view.delay_ms)), _size(cost.kept_bytes, cost)
        rows.append((view.name, view.source.name, keys, *durations, windows, str(len(view.features)), kept, view.fingerprint))
    return rows


def _windows(costs: Sequence[ViewCost]) -> list[tuple[str, ...]]:
    """One row for each window of each view, however many features are over it."""
    rows: list[tuple[str, ...]] = [("VIEW", "WINDOW", "HOP", "FEATURES", "TILES/READ", "LEVELS", "BYTES/KEY")]
    for cost in costs:
        for number, each in enumerate(cost.windows):
            size = show(each.window.size_ms) if isinstance(each.window, Sliding) else "lifetime"
            taken = [f"{count:,}×{show(level)}" for count, level in zip(each.folded, cost.view.levels_ms, strict=True) if count]
            tiles = " + ".join([*(["base"] if not each.window.is_bounded else []), *reversed(taken)])
            name = "" if number else cost.view.name
            rows.append(
                (name, size, _hop(each.window) or "-", str(len(each.features)), f"{each.reads:,}", tiles, _size(each.kept_bytes, cost))
            )
    return rows


def _warnings(cost: ViewCost) -> Iterator[str]:
    """A line for each window that is dear, with the hop that would do."""
    for each in cost.windows:
        if each.dear and isinstance(each.window, Sliding):
            more = f" and {len(each.features) - 1:,} more" if len(each.features) > 1 else ""
            figures = f"{each.reads:,} tiles a read, {_size(each.kept_bytes, cost)} a key"
            yield f"{cost.view.name}.{each.features[0]}{more}: {_why(cost, each.window)}: {figures}; {_instead(cost, each)}"


def _why(cost: ViewCost, window: Sliding) -> str:
    if not _hop(window):
        return f"exact sliding over {show(window.size_ms)} is dear"
    if cost.view.has_lifetime:
        return f"hop {_hop(window)} saves nothing beside Lifetime features"
    return f"hop {_hop(window)} is small for {show(window.size_ms)}"


def _instead(cost: ViewCost, dear: WindowCost) -> str:
    if dear.better is None or not isinstance(dear.better.window, Sliding):
        return "no hop fits those of the other windows"
    apart = "in a view without Lifetime features " if cost.view.has_lifetime else ""
    return f"{apart}hop={show(dear.better.window.hop_ms)} would take {dear.better.reads:,} and {_size(dear.better.kept_bytes, cost)}"


def _hop(window: Window) -> str:
    """A window's hop; nothing where it slides with the tile."""
    return show(window.hop_ms) if isinstance(window, Sliding) and window.hop_ms > 1 else ""


def _size(count: int, cost: ViewCost) -> str:
    """Bytes as people read them; at least so many where tiles keep text."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size >= 1_000:
            size, unit = size / 1024, larger
    shown = f"{size:,.0f}" if size >= 100 or unit == "B" else f"{size:.1f}"
    return f"{'≥' if cost.varies else ''}{shown}{unit}"


def _services(plan: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("SERVICE", "REQUEST", "VIEWS", "FEATURES", "VERSION", "LABEL")]
    for service in plan.services.values():
        label = "-" if service.label is None else service.label.value.text
        rows.append(
            (service.name, service.request.name, str(len(service.views)), str(len(service.feature_types)), service.fingerprint, label)
        )
    return rows
