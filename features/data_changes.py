"""What differs between two data versions, a line for each change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from features.data_version import DataFile, DataVersion

_NAMED = 5
"""Files that are named of each kind of change; the others are counted."""
_WIDEST = 60
_ABSENT = object()

Facts = Mapping[str, Any]


def changes(before: DataVersion, after: DataVersion) -> list[str]:
    """What is not the same: definitions, options, files, code; empty where all is."""
    if before.digest == after.digest:
        return []
    return [
        *_definitions(before, after),
        *_options(before.options, after.options),
        *_files(before.files, after.files),
        *_code(before, after),
    ]


def _definitions(before: DataVersion, after: DataVersion) -> Iterator[str]:
    if before.service != after.service:
        yield f"service: {before.service} → {after.service}"
    elif before.service_version != after.service_version:
        yield f"service {after.service}: version {before.service_version} → {after.service_version}"
    own, new = ({name: fact for name, fact in each.definitions["service"].items() if name not in _OF_VIEWS} for each in (before, after))
    yield from _facts(f"service {after.service}:", own, new)
    views, newer = before.definitions["views"], after.definitions["views"]
    for name in sorted(views.keys() | newer.keys()):
        if name in views and name in newer:
            yield from _view(name, views[name], newer[name])
        else:
            yield f"view {name}: {'added' if name in newer else 'removed'}"


_OF_VIEWS = ("service", "views", "features")
"""Told by the service's name and by its views."""


def _view(name: str, before: Facts, after: Facts) -> Iterator[str]:
    own, new = ({key: fact for key, fact in each.items() if key not in ("features", "partials")} for each in (before, after))
    yield from _facts(f"view {name}:", own, new)
    features, newer = _features(before), _features(after)
    for feature in sorted(features.keys() | newer.keys()):
        if feature in features and feature in newer:
            yield from _facts(f"view {name}: feature {feature}:", features[feature], newer[feature])
        else:
            yield f"view {name}: feature {feature} {'added' if feature in newer else 'removed'}"


def _features(view: Facts) -> dict[str, Facts]:
    """Each feature with what its partials are instead of how they are named."""
    return {
        name: feature | {"partials": [view["partials"][each] for each in feature["partials"]]} for name, feature in view["features"].items()
    }


def _options(before: Facts, after: Facts) -> Iterator[str]:
    yield from _facts("option", before, after)


def _files(before: Mapping[str, Sequence[DataFile]], after: Mapping[str, Sequence[DataFile]]) -> Iterator[str]:
    for relation in sorted(before.keys() | after.keys()):
        old, new = ({file.name: file for file in each.get(relation, ())} for each in (before, after))
        added = [f"{name} ({new[name].rows:,} rows)" for name in sorted(new.keys() - old.keys())]
        removed = [f"{name} ({old[name].rows:,} rows)" for name in sorted(old.keys() - new.keys())]
        changed = [f"{name} ({_rows(old[name], new[name])})" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
        for what, files in (("added", added), ("removed", removed), ("changed", changed)):
            if files:
                more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
                yield f"{relation}: {len(files):,} {'file' if len(files) == 1 else 'files'} {what}: {', '.join(files[:_NAMED])}{more}"


def _rows(old: DataFile, new: DataFile) -> str:
    return f"{old.rows:,} → {new.rows:,} rows" if old.rows != new.rows else f"{new.rows:,} rows, other content"


def _code(before: DataVersion, after: DataVersion) -> Iterator[str]:
    if str(before.code) != str(after.code):
        commits = f" (commit {before.code.commit or 'unknown'} → {after.code.commit or 'unknown'})"
        yield f"code: {before.code} → {after.code}{commits if before.code.commit or after.code.commit else ''}"


def _facts(where: str, before: Facts, after: Facts) -> Iterator[str]:
    """The leaves that differ."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _facts(f"{where} {name}", old, new)
        elif isinstance(old, list) and isinstance(new, list):
            yield from _facts(
                f"{where} {name}",
                dict(zip(map(str, range(len(old))), old, strict=True)),
                dict(zip(map(str, range(len(new))), new, strict=True)),
            )
        elif old is _ABSENT or new is _ABSENT:
            yield f"{where} {name} {'added' if old is _ABSENT else 'removed'}"
        elif old != new:
            yield f"{where} {name} {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
