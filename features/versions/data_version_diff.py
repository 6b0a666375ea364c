"""What differs between two data versions, a line for each change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from features.versions.data_version import DataFile, DataVersion
from features.versions.plan_diff import schema_differences, service_differences, view_differences
from schemas.wording import quantity

_NAMED = 5
"""Files that are named of each kind of change; the others are counted."""
_WIDEST = 200


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
    own, new = ({k: v for k, v in each.definitions["service"]["description"].items() if k not in _OF_VIEWS} for each in (before, after))
    yield from (f"service {after.service}: {_line(each)}" for each in service_differences(own, new))
    views, newer = before.definitions["views"], after.definitions["views"]
    for name in sorted(views.keys() | newer.keys()):
        if name in views and name in newer:
            yield from (f"view {name}: {_line(each)}" for each in view_differences(views[name], newer[name]))
        else:
            yield f"{'+' if name in newer else '−'} view {name}"
    schemas, latest = (each.definitions.get("schemas", {}) for each in (before, after))
    for name in sorted(schemas.keys() & latest.keys()):
        yield from (f"{name}: {each}" for each in schema_differences(schemas[name], latest[name]))


_OF_VIEWS = ("views", "features")
"""Of a service, told by its views."""


def _line(text: str) -> str:
    """A function's text has several."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDEST else f"{flat[: _WIDEST - 1]}…"


def _options(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"option {name}: {json.dumps(before.get(name))} → {json.dumps(after.get(name))}"


def _files(before: Mapping[str, Sequence[DataFile]], after: Mapping[str, Sequence[DataFile]]) -> Iterator[str]:
    for relation in sorted(before.keys() | after.keys()):
        old, new = ({file.name: file for file in each.get(relation, ())} for each in (before, after))
        added = [f"{name} ({quantity(new[name].rows, 'row')})" for name in sorted(new.keys() - old.keys())]
        removed = [f"{name} ({quantity(old[name].rows, 'row')})" for name in sorted(old.keys() - new.keys())]
        changed = [f"{name} ({_rows(old[name], new[name])})" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
        for what, files in (("added", added), ("removed", removed), ("changed", changed)):
            if files:
                more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
                yield f"{relation}: {len(files):,} {'file' if len(files) == 1 else 'files'} {what}: {', '.join(files[:_NAMED])}{more}"


def _rows(old: DataFile, new: DataFile) -> str:
    return f"{old.rows:,} → {new.rows:,} rows" if old.rows != new.rows else f"{quantity(new.rows, 'row')}, other content"


def _code(before: DataVersion, after: DataVersion) -> Iterator[str]:
    if str(before.code) != str(after.code):
        commits = f" (commit {before.code.commit or 'unknown'} → {after.code.commit or 'unknown'})"
        yield f"code: {before.code} → {after.code}{commits if before.code.commit or after.code.commit else ''}"
