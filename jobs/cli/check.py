"""`tidemark check`: compiles all definitions and shows what they declare; every problem is a line of its own."""

from __future__ import annotations

from features.catalog import load
from features.durations import show
from features.plan import Plan
from infra.settings import Settings
from jobs.report.text_table import aligned

COMMANDS = {"check": "Check all definitions"}


def command() -> None:
    """Check the definitions (TIDEMARK_DEFINITIONS) against their schemas (TIDEMARK_SCHEMAS)."""
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    print(aligned(_views(plan)))
    if plan.services:
        print(f"\n{aligned(_services(plan))}")


def _views(plan: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("VIEW", "SOURCE", "KEYS", "TILE", "DELAY", "WINDOWS", "FEATURES", "VERSION")]
    for view in plan.views.values():
        keys = ",".join(key.name for key in view.keys)
        sizes = sorted({feature.window.reach_ms for feature in view.features if feature.window.is_bounded})
        windows = ",".join([*map(show, sizes), *(["lifetime"] if view.has_lifetime else [])])
        rows.append(
            (view.name, view.source.name, keys, show(view.tile_ms), show(view.delay_ms), windows, str(len(view.features)), view.fingerprint)
        )
    return rows


def _services(plan: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("SERVICE", "REQUEST", "VIEWS", "FEATURES", "VERSION", "LABEL")]
    for service in plan.services.values():
        label = "-" if service.label is None else service.label.value.text
        rows.append(
            (service.name, service.request.name, str(len(service.views)), str(len(service.feature_types)), service.fingerprint, label)
        )
    return rows
