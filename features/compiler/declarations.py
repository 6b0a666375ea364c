"""What a definitions folder declares, before any of it is checked; and the problems found on the way to the plan."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from features.durations import milliseconds, show
from features.vocabulary.words import Entity, FeatureService, FeatureView, Source
from schemas.errors import DefinitionError

Definition = Source | Entity | FeatureView | FeatureService

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*_?")
MAX_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A definition, the variable that names it, and the file that it is in."""

    name: str
    file: str
    value: Definition


@dataclass(kw_only=True)
class Problems:
    """Everything wrong with a folder of definitions, a line each, in the order found."""

    lines: list[str] = field(default_factory=list)

    def add(self, declared: Declared, what: str, part: str | None = None) -> None:
        """Note a fault of a definition or of a part of it, e.g. of one feature."""
        self._note(f"{declared.name}{'' if part is None else f'.{part}'}: {what}", declared.file)

    @contextmanager
    def caught(self, declared: Declared) -> Iterator[None]:
        """Note the faults of a `DefinitionError` raised inside; they name their place already."""
        try:
            yield
        except DefinitionError as error:
            for problem in error.problems:
                self._note(problem, declared.file)

    def _note(self, line: str, file: str) -> None:
        full = f"{' '.join(line.split())} ({file})"
        if full not in self.lines:
            self.lines.append(full)


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """All definitions of a folder; each object once, under its own name."""

    declared: tuple[Declared, ...]

    def of(self, kind: type[Definition]) -> tuple[Declared, ...]:
        """The definitions of one kind, in file and then in written order."""
        return tuple(declared for declared in self.declared if isinstance(declared.value, kind))

    def find(self, value: object) -> Declared | None:
        """The declaration of an object, by identity."""
        return next((declared for declared in self.declared if declared.value is value), None)


def checked_names(definitions: Definitions, problems: Problems) -> None:
    """Note what is wrong with names: not plain, or given twice to definitions of one kind."""
    taken: dict[tuple[type, str], Declared] = {}
    for declared in definitions.declared:
        fault = name_fault(declared.name)
        if fault:
            problems.add(declared, fault)
        other = taken.setdefault((type(declared.value), declared.name.lower()), declared)
        if other is not declared:
            kind = type(declared.value).__name__
            same = "" if other.name == declared.name else f', as "{other.name}"'
            problems.add(declared, f"a {kind} of this name is also in {other.file}{same}; names of one kind differ, by more than case")


def name_fault(name: object) -> str | None:
    """Why this cannot be a name; None if it can."""
    if not isinstance(name, str):
        return f"a name is text, got {type(name).__name__} {name!r}"
    if not _NAME.fullmatch(name):
        return f'"{name}" cannot be a name: allowed are ASCII letters, digits and single underscores, a letter first'
    return f'"{name[:20]}…" is {len(name)} characters long; at most {MAX_NAME} are allowed' if len(name) > MAX_NAME else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    names = list(known)
    near = [other for other in names if other.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    return f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}"


def duration_ms(value: object, what: str, *, positive: bool) -> int | str:
    """A duration in ms, or the fault as text."""
    least = "above 0" if positive else "0 or more"
    if not isinstance(value, timedelta):
        return f"{what} must be a timedelta {least}, got {value!r}"
    whole = milliseconds(value)
    if whole is None:
        return f"{what} {value} is not whole milliseconds; durations are whole milliseconds"
    if whole < 0 or (positive and whole == 0):
        return f"{what} is {show(whole)}; allowed is a timedelta {least}"
    return whole


def time_ms(value: object, what: str) -> int | str:
    """A moment in ms since the epoch, or the fault as text."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return f"{what} must be a datetime with a time zone, e.g. datetime(2013, 1, 1, tzinfo=UTC), got {value!r}"
    whole = milliseconds(value - datetime(1970, 1, 1, tzinfo=UTC))
    return f"{what} {value} is not whole milliseconds" if whole is None else whole


def field_fault(name: object, fields: Mapping[str, object], owner: str, role: str) -> str | None:
    """Why this is not a field of a schema; None if it is."""
    if not isinstance(name, str):
        return f"{role} must be the name of a field, got {name!r}"
    return None if name in fields else f'{role}: {owner} has no field "{name}"; {did_you_mean(name, fields)}'
