"""Which definitions the jobs were submitted with, as the control topic keeps it: what `tidemark plan` compares with, and why a job may be refused.

A tiles topic holds tiles of one definition: what computes or stores others is refused, since nothing in a tile says what it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any

from features.plan import ServicePlan, ViewPlan
from features.versions.plan_diff import OF_THE_STREAM, Record, service_record, tile_differences, view_record
from inference.online.marks import Began
from infra.settings import Settings
from jobs.control import topic
from jobs.flink.job_names import single_view_name
from jobs.flink.single_view import running
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from schemas.errors import SettingError

_VIEW, _SERVICE, _COMPUTED, _STORED, _STORE = "view/", "service/", "computed/", "stored/", "store/"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What the control topic says.

    Attributes:
        views: Name → `features.versions.plan_diff.view_record`, as the features job was last submitted with it.
        services: Name → `features.versions.plan_diff.service_record`, and `model` and `model_version`, as the score job was.
        computed: Source, or source/view of a job beside → the views that its features job computes.
        stored: Generation of the store → the views that its materialize job writes.
        stores: Generation → its incarnation, as an `inference.online.marks.Began`.
    """

    views: Mapping[str, Record]
    services: Mapping[str, Record]
    computed: Mapping[str, Sequence[str]]
    stored: Mapping[str, Sequence[str]]
    stores: Mapping[str, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Settings) -> Deployed:
        """Raises ServiceError when Kafka does not answer."""
        records = topic.records(settings)

        def of(prefix: str) -> dict[str, Any]:
            return {kind.removeprefix(prefix): record for kind, record in records.items() if kind.startswith(prefix)}

        return cls(views=of(_VIEW), services=of(_SERVICE), computed=of(_COMPUTED), stored=of(_STORED), stores=of(_STORE))


def refuse_other_tiles(settings: Settings, views: Iterable[ViewPlan]) -> None:
    """Stop a job that would mix tiles of two definitions in one topic, or take the one's for the other's.

    A topic that has never held a tile, and that no running job writes, holds tiles of no definition: that of a job that never got to run is forgotten.

    Raises:
        ServiceError: Kafka does not answer.
        SettingError: A view is no longer what its tiles topic holds; all such views, a line each.
    """
    applied = Deployed.read(settings)
    known = applied.views
    others = [(view, found) for view in views if view.name in known and (found := tile_differences(known[view.name], view))]
    held = admin.written(Connection.of(settings), [view.tiles_topic for view, _ in others])
    names = running(settings) if len(held) < len(others) else set()
    problems = []
    for view, differences in others:
        source = str(known[view.name]["description"]["source"])
        if view.tiles_topic in held or runs_with(applied, names, view=view.name, source=source):
            problems.append(
                f'view "{view.name}" is not what topic {view.tiles_topic} holds tiles of: {"; ".join(differences)}; '
                f"give the changed view another name, or end its jobs and begin anew with `tidemark retire {view.name}`; see `tidemark plan`"
            )
    if problems:
        raise SettingError("\n".join(problems))


def refuse_other_graph(settings: Settings, views: Sequence[ViewPlan], sources: Iterable[str], *, only: str | None = None) -> None:
    """Stop a features job that would go on from the checkpoint of one with other views: Flink finds no operator for the state that it reads there.

    Raises:
        ServiceError: Kafka does not answer.
        SettingError: Views were added, removed or changed; names them.
    """
    applied = Deployed.read(settings)
    before = {view for source in sources for view in applied.computed.get(source if only is None else f"{source}/{only}", ())}
    if not before:
        return
    now = {view.name: view for view in views}
    added, removed = sorted(now.keys() - before), sorted(before - now.keys())
    changed = sorted(name for name in before & now.keys() & applied.views.keys() if _other_graph(applied.views[name], now[name]))
    if not added and not removed and not changed:
        return
    parts = [
        f"{'views' if len(names) > 1 else 'view'} {', '.join(names)} {what}"
        for names, what in ((added, "added"), (removed, "removed"), (changed, "changed"))
        if names
    ]
    beside = f", or let it go on and begin beside it with `tidemark submit features --only {added[0]}`" if added else ""
    raise SettingError(
        f"{'; '.join(parts)} since its checkpoint, whose state fits the old graph only; "
        f"submit it with --fresh (events of open tiles are read again){beside}; see `tidemark plan`"
    )


def _other_graph(before: Record, view: ViewPlan) -> bool:
    """Whether a view is computed by other operators than it was."""
    return bool(tile_differences(before, view)) or (before["dedupe_ms"] is None) != (view.source.dedupe_ms is None)


def record_features_job(settings: Settings, sources: Iterable[str], views: Sequence[ViewPlan], *, only: str | None = None) -> None:
    """Note what a features job was submitted with; `only` names the view of one that runs beside. Raises ServiceError when Kafka does not answer."""
    records: dict[str, Any] = {f"{_VIEW}{view.name}": view_record(view) for view in views}
    for source in sources:
        own = sorted(view.name for view in views if view.source.name == source)
        records[_COMPUTED + (source if only is None else f"{source}/{only}")] = own
    topic.publish(settings, records)


def record_materialize_job(settings: Settings, generation: int, views: Sequence[ViewPlan]) -> None:
    """Note what a materialize job was submitted with: windows and delays are its and the readers'. Raises ServiceError when Kafka does not answer."""
    known = Deployed.read(settings).views
    records: dict[str, Any] = {f"{_STORED}{generation}": sorted(view.name for view in views)}
    for view in views:
        if view.name in known:
            records[f"{_VIEW}{view.name}"] = view_record(view) | {name: known[view.name][name] for name in OF_THE_STREAM}
    topic.publish(settings, records)


def began(settings: Settings, generation: int, store: Began) -> None:
    """Note the incarnation of a generation. Raises ServiceError when Kafka does not answer."""
    topic.publish(settings, {f"{_STORE}{generation}": asdict(store)})


def record_score_job(settings: Settings, service: ServicePlan, *, model: str, model_version: str) -> None:
    """Note what a score job was submitted with. Raises ServiceError when Kafka does not answer."""
    record = service_record(service) | {"model": model, "model_version": model_version}
    topic.publish(settings, {f"{_SERVICE}{service.name}": record})


def runs_with(applied: Deployed, names: Set[str], *, view: str, source: str) -> set[str]:
    """Of jobs, by name, those that were submitted with a view; one whose name does not say what it is about may have been.

    Args:
        applied: What each job was submitted with.
        names: Of the jobs, as `tidemark submit` gives them: the job's, then those of its sources, of its only view, or of its service.
        view: The view.
        source: Its source.
    """
    sources = {name.partition("/")[0] for name in applied.computed}
    serving = {name for name, record in applied.services.items() if view in record["description"]["views"]}
    others: dict[str, Set[str]] = {}  # job → what it may be about without having the view
    if view in applied.computed.get(source, ()):
        others["features"] = (sources | applied.views.keys()) - {source}
    if any(view in views for views in applied.stored.values()):
        others["materialize"] = set()
    if serving:
        others["score"] = applied.services.keys() - serving
    found = {single_view_name(view)} & names
    for name in names:
        job, *about = name.split("-")
        if job in others and not (about and set(about) <= others[job]):
            found.add(name)
    return found


def forget(settings: Settings, view: str) -> None:
    """A view is no more. Raises ServiceError when Kafka does not answer."""
    topic.publish(settings, {f"{_VIEW}{view}": None})


def forget_generation(settings: Settings, generation: int) -> None:
    """A generation is no more. Raises ServiceError when Kafka does not answer."""
    topic.publish(settings, {f"{_STORED}{generation}": None, f"{_STORE}{generation}": None})
