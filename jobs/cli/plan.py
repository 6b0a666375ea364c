"""`tidemark plan`: what a change of definitions does, before it is applied: state, topics, store, services and models, and the history that it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from features.catalog import load
from features.compiler.feast import FRONTIER, OLDER, SINCE, TILES
from features.durations import show
from features.plan import Plan, tiles_topic
from features.versions.plan_diff import ALL_HISTORY_MS, Changes, Kind, ServiceChange, ViewChange, changes
from infra.settings import Settings
from jobs.control.deployed import Deployed
from jobs.control.missing_history import HistorySize, measure
from schemas.schema import SHIPPED, SchemaSet
from schemas.times import show_ms
from schemas.wording import quantity

COMMANDS = {"plan": "Say what changed definitions would do"}

_SIGNS = {Kind.ADDED: "+", Kind.CHANGED: "~", Kind.REMOVED: "−"}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """All that the command says.

    Attributes:
        found: What is not as it was applied.
        applied: What was.
        sizes: View → the history that it lacks; None where the folder has no events of its source.
    """

    found: Changes
    applied: Deployed
    sizes: Mapping[str, HistorySize | None]


def command(
    events: Annotated[
        Path | None, typer.Option(help="Folder with one folder of Parquet files per source, for sizes; the archive when not given")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> int:
    """Say what the definitions change against those that jobs were last submitted with; nothing is changed.

    Exit code 0: no change. 1: there are changes. 2 is for wrong use and for definitions that cannot be compiled, as everywhere.
    """
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    planned = planned_now(settings, plan, settings.home / "archive" if events is None else events)
    if as_json:
        print(json.dumps(as_data(planned), indent=1, ensure_ascii=False))
    else:
        print("\n".join(text(planned)))
    return int(planned.found.any)


def planned_now(settings: Settings, plan: Plan, events: Path) -> Planned:
    """Compare the definitions with what was applied, and measure the history that they lack.

    Raises:
        DataError: A file of history is not readable.
        ServiceError: Kafka does not answer.
    """
    applied = Deployed.read(settings)
    found = changes(applied.views, applied.services, plan, slack_ms=settings.tile_slack_ms)
    schemas = SchemaSet.load(settings.schemas or SHIPPED)
    sizes = {}
    for change in found.views:
        if change.lacks_ms is not None:
            view = plan.views[change.name]
            sizes[change.name] = measure(view, change.lacks_ms, events / view.source.name, schemas.current(view.source.schema))
    return Planned(found=found, applied=applied, sizes=sizes)


def as_data(planned: Planned) -> dict[str, Any]:
    """What was found, as plain data."""
    views: list[dict[str, Any]] = [
        asdict(change)
        | {
            "touches": _touched(change, planned.applied),
            "models": _models(change, planned.applied),
            "history": None if (size := planned.sizes.get(change.name)) is None else asdict(size),
        }
        for change in planned.found.views
    ]
    return {"changes": planned.found.any, "views": views, "services": [asdict(change) for change in planned.found.services]}


def text(planned: Planned) -> list[str]:
    """What was found, in lines."""
    found = planned.found
    if not found.any:
        return ["no change: the definitions are those that the jobs were submitted with"]
    lines = []
    for view in found.views:
        breaking = ", breaking" if view.kind is Kind.CHANGED and view.breaking else ""
        lines += [f"{_SIGNS[view.kind]} view {view.name}: {view.kind}{breaking}", *(f"    {line}" for line in view.differences)]
        lines += [f"  {what:<9}{said}" for what, said in _touched(view, planned.applied).items()]
        lines += [f"  {'services':<9}{', '.join(view.services)}"] if view.services else []
        lines += [f"  {'models':<9}{', '.join(models)}"] if (models := _models(view, planned.applied)) else []
        lines += [f"  {'history':<9}{_history(view, planned.sizes.get(view.name))}"] if view.lacks_ms is not None else []
    for service in found.services:
        lines += [f"{_SIGNS[service.kind]} service {service.name}: {_versions(service)}", *(f"    {line}" for line in service.differences)]
        if service.kind is Kind.CHANGED:
            lines.append("  models of the version before are refused; backfill and train again")
    counts = [f"{sum(view.kind is kind for view in found.views)} {kind}" for kind in Kind]
    many = sum(view.kind is Kind.CHANGED and view.breaking for view in found.views)
    return [*lines, "", f"views: {', '.join(counts)} ({many} breaking); services: {len(found.services)}"]


def _touched(change: ViewChange, applied: Deployed) -> dict[str, str]:
    """Flink state, topics and store fields that a change of a view concerns."""
    topic = tiles_topic(change.name)
    fields = ", ".join(name.format(view=change.name) for name in (TILES, OLDER, FRONTIER, SINCE))
    state = f"features job of source {change.source}: "
    match change.kind:
        case Kind.ADDED:
            beside = (
                f"goes on; submit features --only {change.name} beside it" if change.source in applied.computed else "not submitted yet"
            )
            return {"state": f"{state}{beside}", "topic": f"{topic}: made", "store": f"{fields}: made"}
        case Kind.REMOVED:
            gone = f"stays until `tidemark retire {change.name}`"
            return {"state": f"{state}other operators, submit it with --fresh", "topic": f"{topic}: {gone}", "store": f"{fields}: {gone}"}
    if change.breaking:
        held = "holds tiles of the old definition; submit refuses the new one"
        return {
            "state": f"{state}other operators, submit it with --fresh",
            "topic": f"{topic}: {held}: give the view another name, or `tidemark retire {change.name}`",
            "store": f"{fields}: tiles of the old definition count for nothing under the new one",
        }
    stored = "tiles of other levels count for nothing; `tidemark rebuild --switch` merges them anew" if change.other_levels else "kept"
    return {
        "state": f"{state}kept{'; submit it again' if change.stream else ''}",
        "topic": f"{topic}: kept",
        "store": f"{fields}: {stored}; submit materialize and score again",
    }


def _models(change: ViewChange, applied: Deployed) -> list[str]:
    """Models that score with a service that contains the view."""
    serving = [(name, applied.services[name]) for name in change.services if name in applied.services]
    return [f"{record['model']} {record['model_version']} of service {name} {record['fingerprint']}" for name, record in serving]


def _versions(service: ServiceChange) -> str:
    match service.kind:
        case Kind.ADDED:
            return f"added, version {service.after}"
        case Kind.REMOVED:
            return f"removed, was version {service.before}"
    return f"version {service.before} → {service.after}"


def _history(change: ViewChange, size: HistorySize | None) -> str:
    assert change.lacks_ms is not None
    low, high = change.lacks_ms
    reach = "everything" if low == ALL_HISTORY_MS else show(low)
    span = f"lacks {reach}" if high == 0 else f"lacks what is between {show(low)} and {show(high)} old"
    if size is None:
        return f"{span}; there are no events of its source to count (--events)"
    counted = "" if size.sampled == size.events else f", by the newest {size.sampled:,} events"
    rest = f" and {', '.join(size.unmeasured)}" if size.unmeasured else ""
    # What the store once dropped, or merged, counts as dropped for good: only another generation of it keeps more.
    remedy = f"bootstrap {change.name}" if change.breaking or change.kind is Kind.ADDED else "rebuild --switch"
    return (
        f"{span}: {show_ms(size.from_ms)} to {show_ms(size.until_ms)}, {show(size.until_ms - size.from_ms)}, {quantity(size.events, 'event')}, "
        f"{quantity(size.tiles, 'tile')} of {quantity(size.bytes, 'byte')}{rest}{counted}; `tidemark {remedy}`"
    )
