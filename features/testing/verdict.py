"""What a case says against what was seen: a line for each difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from features.testing.cases import Case, Expectation
from features.testing.gate import Row
from features.testing.instants import ms_of
from features.testing.seen import Seen
from features.tolerances import Rule, differences, view_rules
from schemas.times import show_ms
from schemas.types import DataType


def judge(case: Case) -> list[str]:
    """The differences, in written order; none when the case holds. Doubles may differ as `features.tolerances` allows."""
    found = [line for each in case.expect for line in _features(each, case.seen)]
    if case.late is not None:
        found += _rows("late", case.late, case.seen.late)
    if case.repeats is not None:
        found += _rows("repeats", case.repeats, case.seen.repeats)
    letters = case.seen.dead_letters
    found += _rows("dead_letters", [fields for fields, _ in case.dead_letters], [letter.row for letter in letters])
    if len(letters) == len(case.dead_letters):
        for (_, reason), letter in zip(case.dead_letters, letters, strict=True):
            if not letter.reason.startswith(reason):
                found.append(f'dead_letters: expected reason "{reason}", got "{letter.reason}"')
    else:
        found += [f"dead_letters: {letter.reason}: {_shown(letter.row)}" for letter in letters]
    return found


def _features(expected: Expectation, seen: Seen) -> Iterator[str]:
    where = ", ".join([f"as of {show_ms(expected.at_ms)}", *(f"{name}={value}" for name, value in expected.fields.items())])
    rules: dict[str, Rule] = {name: rule for view in seen.views.values() for name, rule in view_rules(view.view).items()}
    if expected.features:
        yield from _different(where, expected.features, seen.as_of(expected.at_ms, **expected.fields), seen, rules)
    if expected.served or expected.stale is not None:
        served = seen.served(expected.at_ms, **expected.fields)
        yield from _different(f"{where}, served", expected.served, served.features, seen, rules)
        if expected.stale is not None and served.stale != expected.stale:
            yield f"{where}: stale: expected {_word(expected.stale)}, got {_word(served.stale)} (the frontier is {_word(seen.frontier)})"


def _different(where: str, expected: Mapping[str, Any], got: Mapping[str, Any], seen: Seen, rules: Mapping[str, Rule]) -> Iterator[str]:
    for name, value in expected.items():
        type_ = seen.feature_types[name]
        sides = [pa.chunked_array([pa.array([side], type=type_.arrow)]) for side in (value, got[name])]
        if differences(*sides)[0] > rules.get(name, Rule.BITS).allowed:
            yield f"{where}: {name}: expected {_value(value, type_)}, got {_value(got[name], type_)}"


def _rows(what: str, expected: Sequence[Mapping[str, Any]], got: Sequence[Row]) -> Iterator[str]:
    """Rows in the order of arrival; of each, the fields that are named."""
    if len(expected) != len(got):
        yield f"{what}: expected {len(expected)}, got {len(got)}{''.join(f'; {_shown(row)}' for row in got)}"
        return
    for fields, row in zip(expected, got, strict=True):
        for name, value in fields.items():
            if isinstance(row, bytes) or not _same(value, row.get(name)):
                yield f"{what}: expected {name}={_word(value)} in {_shown(row)}"


def _same(expected: Any, got: Any) -> bool:
    if isinstance(got, datetime) and isinstance(expected, str):
        return ms_of(expected) == ms_of(got)
    return isinstance(expected, bool) == isinstance(got, bool) and bool(expected == got)


def _shown(row: Row) -> str:
    return repr(row) if isinstance(row, bytes) else ", ".join(f"{name}={_word(value)}" for name, value in row.items() if value is not None)


def _value(value: Any, type_: DataType) -> str:
    return show_ms(ms_of(value)) if type_ is DataType.TIMESTAMP and value is not None else _word(value)


def _word(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else show_ms(ms_of(value)) if isinstance(value, datetime) else str(value)
