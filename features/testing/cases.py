"""Declared cases: YAML files that say which events come and which features are expected. Read and checked whole before one is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.catalog import shown
from features.compiler.declarations import did_you_mean
from features.testing.gate import Row, heartbeat
from features.testing.harness import Harness, Rows
from features.testing.instants import ms_of
from features.testing.seen import Seen
from features.testing.yaml_document import Section, read_document
from schemas import parquet
from schemas.envelope import Refused
from schemas.errors import DataError, DefinitionError, SettingError, TidemarkError
from schemas.field import Field
from schemas.json_values import VALUES
from schemas.wording import cause

_CASE = ("view", "service", "events", "now", "expect", "late", "repeats", "dead_letters")
_EXPECTATION = ("as_of", "keys", "request", "features", "served", "stale")
_LETTER = ("event", "reason")
_HEARTBEAT = "heartbeat"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected as of one time.

    Attributes:
        at_ms: The time.
        fields: The keys, or the request's fields.
        features: Feature → the exact value; any of the features.
        served: Feature → the value that is served right after the last event.
        stale: Whether that is stale; None: not said.
    """

    at_ms: int
    fields: Mapping[str, Any]
    features: Mapping[str, Any]
    served: Mapping[str, Any]
    stale: bool | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case and what became of its events.

    Attributes:
        name: In its file.
        file: As users are shown it.
        seen: Its events, replayed.
        expect: What is expected, in written order.
        late: The fields of each late event; None: not said.
        repeats: The same of repeats.
        dead_letters: (the fields, the beginning of the reason) of each; without any, none is expected.
    """

    name: str
    file: str
    seen: Seen
    expect: tuple[Expectation, ...]
    late: tuple[Mapping[str, Any], ...] | None
    repeats: tuple[Mapping[str, Any], ...] | None
    dead_letters: tuple[tuple[Mapping[str, Any], str], ...]


def read_cases(path: Path, harness: Harness) -> list[Case]:
    """The cases of a file, or of all `*.yaml` and `*.yml` below a folder.

    Raises:
        SettingError: There are none.
        DefinitionError: Everything wrong with all files, a line each: file, line, case, what, and what is allowed.
    """
    if not path.exists():
        raise SettingError(f"test: {shown(path)} does not exist; it is a folder of cases (*.yaml), or one file of them")
    files = sorted(found for end in ("*.yaml", "*.yml") for found in path.rglob(end)) if path.is_dir() else [path]
    problems: list[str] = []
    cases: list[Case] = []
    for file in files:
        reader = _Reader(file=file, harness=harness, problems=problems)
        cases += reader.cases()
    if problems:
        raise DefinitionError(problems)
    if not cases:
        raise SettingError(f"test: {shown(path)} has no case; a case is a name in a .yaml file, with view, events and expect")
    return cases


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads one file; notes every fault that it meets."""

    file: Path
    harness: Harness
    problems: list[str]

    def cases(self) -> Iterator[Case]:
        try:
            document = read_document(self.file.read_text(encoding="utf-8"), shown(self.file))
        except DefinitionError as error:
            self.problems.extend(error.problems)
            return
        except (OSError, UnicodeError) as error:
            self.problems.append(f"{shown(self.file)}: cannot be read: {cause(error)}")
            return
        if document is None:
            return
        if not isinstance(document, Section):
            self._note(1, "a file of cases maps names to cases, e.g. a_burst: {view: …, events: …, expect: …}")
            return
        for name, section in document.items():
            before = len(self.problems)
            if self._is(section, Section, document.lines[name], f"{name}: a case maps {', '.join(_CASE)}"):
                case = self._case(name, section)
                if case is not None and len(self.problems) == before:
                    yield case

    def _case(self, name: str, section: Section) -> Case | None:
        self._unknown(section, _CASE, name)
        if ("view" in section) == ("service" in section):
            self._note(
                section.line, f"{name}: names {'both' if 'view' in section else 'neither'} of view and service; it is of one of them"
            )
            return None
        kind = "view" if "view" in section else "service"
        asked, known = str(section[kind]), self.harness.plan.views if kind == "view" else self.harness.plan.services
        if asked not in known:
            near = did_you_mean(asked, known) if known else "there are none"
            self._note(section.lines[kind], f'{name}: no {kind} is named "{asked}"; {near}')
            return None
        seen = self._replayed(name, asked, section)
        if seen is None:
            return None
        expect = [self._expectation(name, each, seen, kind) for each in self._sections(section, "expect", name)]
        letters = [
            (self._mapping(each, "event", name), str(each.get("reason", ""))) for each in self._sections(section, "dead_letters", name)
        ]
        for each in self._sections(section, "dead_letters", name):
            self._unknown(each, _LETTER, f"{name}: dead_letters")
        if not any(part in section for part in ("expect", "late", "repeats", "dead_letters")):
            self._note(section.line, f"{name}: expects nothing; say expect, late, repeats or dead_letters")
        return Case(
            name=name,
            file=shown(self.file),
            seen=seen,
            expect=tuple(each for each in expect if each is not None),
            late=tuple(self._sections(section, "late", name)) if "late" in section else None,
            repeats=tuple(self._sections(section, "repeats", name)) if "repeats" in section else None,
            dead_letters=tuple(letters),
        )

    def _replayed(self, name: str, asked: str, section: Section) -> Seen | None:
        line = section.lines.get("events", section.line)
        given = section.get("events")
        try:
            events = (
                {source: self._rows(rows, source) for source, rows in given.items()} if isinstance(given, Section) else self._rows(given)
            )
            return self.harness.replay(asked, events, dead_letters="keep", now=None if "now" not in section else str(section["now"]))
        except (TidemarkError, TypeError) as error:
            for text in str(error).splitlines():
                self._note(line, f"{name}: {text}")
            return None

    def _rows(self, given: Any, source: str | None = None) -> Rows:
        """Rows as written, or of the Parquet file that is named, relative to this one."""
        if isinstance(given, str):
            return _table(self.file.parent / given)
        if not isinstance(given, list) or not all(isinstance(row, Section) for row in given):
            of = "" if source is None else f' of "{source}"'
            raise DataError(f"events{of} must be a list of records (field: value), the path of a Parquet file, or source: either")
        return [self._row(row) for row in given]

    def _row(self, row: Section) -> Row:
        return heartbeat(str(row[_HEARTBEAT])) if list(row) == [_HEARTBEAT] else row

    def _expectation(self, name: str, section: Section, seen: Seen, kind: str) -> Expectation | None:
        where = f"{name}: expect"
        self._unknown(section, _EXPECTATION, where)
        named, other = ("keys", "request") if kind == "view" else ("request", "keys")
        if other in section:
            self._note(section.lines[other], f"{where}: a {kind} is asked by {named}, not by {other}")
        fields = self._mapping(section, named, name)
        try:
            at_ms = ms_of(str(section["as_of"])) if "as_of" in section else None
            if at_ms is None:
                self._note(section.line, f"{where}: as_of is missing: the time that features are of")
                return None
            seen.request.read(at_ms, fields)
        except TidemarkError as error:
            self._note(section.line, f"{where}: {error}")
            return None
        stale = section.get("stale")
        if stale is not None and not isinstance(stale, bool):
            self._note(section.lines["stale"], f"{where}: stale is {stale!r}; allowed is true or false")
        values = [self._features(section, part, seen, name) for part in ("features", "served")]
        if not any(section.get(part) for part in ("features", "served")) and stale is None:
            self._note(section.line, f"{where}: says nothing; say features, served or stale")
        return Expectation(at_ms=at_ms, fields=fields, features=values[0], served=values[1], stale=stale)

    def _features(self, section: Section, part: str, seen: Seen, name: str) -> dict[str, Any]:
        """The expected values, in the types of their features; times in ms."""
        given, types, found = self._mapping(section, part, name), seen.feature_types, {}
        for feature, value in given.items():
            line = given.lines[feature] if isinstance(given, Section) else section.line
            if feature not in types:
                self._note(line, f'{name}: {part}: no feature "{feature}"; {did_you_mean(feature, types)}')
                continue
            try:
                field = Field(name=feature, type=types[feature], nullable=True, non_finite_allowed=True)
                found[feature] = None if value is None else VALUES[field.type](value, field)
            except Refused as refused:
                self._note(line, f"{name}: {part}: {str(refused).removeprefix('wrong-type: ').replace('field', 'feature', 1)}")
        return found

    def _mapping(self, section: Section, key: str, name: str) -> Mapping[str, Any]:
        value = section.get(key)
        if value is None or not self._is(value, Section, section.lines[key], f"{name}: {key} maps names to values"):
            return {}
        found: Section = value
        return found

    def _sections(self, section: Section, key: str, name: str) -> list[Section]:
        value = section.get(key)
        if value is None:
            return []
        fault = f"{name}: {key} is a list of mappings, e.g. [{{…}}]"
        if not self._is(value, list, section.lines[key], fault):
            return []
        return [each for each in value if self._is(each, Section, section.lines[key], fault)]

    def _is(self, value: object, type_: type, line: int, what: str) -> bool:
        if not isinstance(value, type_):
            self._note(line, f"{what}; got {value!r}")
        return isinstance(value, type_)

    def _unknown(self, section: Section, allowed: Sequence[str], where: str) -> None:
        for key in section:
            if key not in allowed:
                self._note(section.lines[key], f'{where}: "{key}" means nothing here; {did_you_mean(key, allowed)}')

    def _note(self, line: int, what: str) -> None:
        text = f"{shown(self.file)}:{line}: {what}"
        if text not in self.problems:
            self.problems.append(text)


def _table(path: Path) -> pa.Table:
    try:
        return pa.concat_tables([pq.read_table(file) for file in parquet.files_of(path, what="events")])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"events: {shown(path)} cannot be read as Parquet: {cause(error)}") from None
