"""Random expressions, each with a naive evaluation of one row in plain Python that shares no code with the engine's."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas.types import DataType

Row = Mapping[str, Any]
COLUMNS = {
    "i": DataType.INT64,
    "j": DataType.INT64,
    "x": DataType.FLOAT64,
    "y": DataType.FLOAT64,
    "s": DataType.STRING,
    "r": DataType.STRING,
    "t": DataType.TIMESTAMP,
    "u": DataType.TIMESTAMP,
    "b": DataType.BOOLEAN,
    "end": DataType.BOOLEAN,
}
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Naive:
    """An expression's text and its value for a row (None is null; timestamps are ms). `inside` arithmetic may be infinite or NaN."""

    text: str
    type: DataType
    inside: Callable[[Row], Any]

    def of(self, row: Row) -> Any:
        """The value where it leaves arithmetic."""
        value = self.inside(row)
        return None if isinstance(value, float) and not math.isfinite(value) else value


def wrap(value: int) -> int:
    """As 64 bits, two's complement."""
    return (value - INT64_MIN) % 2**64 + INT64_MIN


def all_known(function: Callable[..., Any], *values: Any) -> Any:
    """Null if any value is."""
    return None if any(value is None for value in values) else function(*values)


def number(value: float, like: DataType) -> Any:
    """A double or a wrapped int."""
    return wrap(int(value)) if like is DataType.INT64 else value


def arithmetic(sign: str, left: Naive, right: Naive) -> Naive:
    """Left and right joined by + - * / or %."""
    text = f"({left.text}) {sign} ({right.text})"
    if sign == "%":
        return Naive(
            text,
            DataType.INT64,
            lambda row: all_known(
                lambda a, b: None if b == 0 else int(math.copysign(1, a)) * (abs(a) % abs(b)), left.of(row), right.of(row)
            ),
        )
    if sign == "/":
        return Naive(
            text,
            DataType.FLOAT64,
            lambda row: all_known(lambda a, b: None if float(b) == 0 else float(a) / float(b), left.inside(row), right.inside(row)),
        )
    operation: Callable[[Any, Any], Any] = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign]
    if left.type is right.type is DataType.INT64:
        return Naive(text, DataType.INT64, lambda row: all_known(lambda a, b: wrap(operation(a, b)), left.of(row), right.of(row)))
    return Naive(
        text, DataType.FLOAT64, lambda row: all_known(lambda a, b: operation(float(a), float(b)), left.inside(row), right.inside(row))
    )


def comparison(sign: str, left: Naive, right: Naive) -> Naive:
    """Left and right compared; strings by bytes, numbers of two types as doubles."""

    def compare(a: Any, b: Any) -> bool:
        if isinstance(a, str):
            a, b = a.encode(), b.encode()
        elif left.type is not right.type:
            a, b = float(a), float(b)
        return bool({"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign])

    return Naive(f"({left.text}) {sign} ({right.text})", DataType.BOOLEAN, lambda row: all_known(compare, left.of(row), right.of(row)))


def conjunction(word: str, left: Naive, right: Naive) -> Naive:
    """AND or OR, three-valued."""
    decisive = word == "OR"

    def value(row: Row) -> bool | None:
        a, b = left.of(row), right.of(row)
        if decisive in (a, b):
            return decisive
        return None if None in (a, b) else not decisive

    return Naive(f"({left.text}) {word} ({right.text})", DataType.BOOLEAN, value)


def choice(condition: Naive, then: Naive, otherwise: Naive) -> Naive:
    """CASE of two values; an int beside a double becomes one."""
    type_ = then.type if then.type is otherwise.type else DataType.FLOAT64

    def value(row: Row) -> Any:
        chosen = (then if condition.of(row) is True else otherwise).of(row)
        return float(chosen) if type_ is DataType.FLOAT64 and chosen is not None else chosen

    return Naive(f"CASE WHEN {condition.text} THEN {then.text} ELSE {otherwise.text} END", type_, value)


def part(name: str, time: Naive) -> Naive:
    """A part of a timestamp."""
    read: dict[str, Callable[[datetime], int]] = {
        "YEAR": lambda d: d.year,
        "MONTH": lambda d: d.month,
        "DAY": lambda d: d.day,
        "HOUR": lambda d: d.hour,
        "MINUTE": lambda d: d.minute,
        "SECOND": lambda d: d.second,
        "DAYOFWEEK": lambda d: d.isoweekday() % 7 + 1,
    }
    return Naive(
        f"{name}({time.text})",
        DataType.INT64,
        lambda row: all_known(lambda ms: read[name](EPOCH + timedelta(milliseconds=ms)), time.of(row)),
    )


def like(value: Naive, pattern: str) -> Naive:
    """LIKE a constant."""
    expression = re.compile("".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern), re.DOTALL)
    return Naive(
        f"({value.text}) LIKE {quoted(pattern)}",
        DataType.BOOLEAN,
        lambda row: all_known(lambda a: expression.fullmatch(a) is not None, value.of(row)),
    )


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def constant(type_: DataType) -> st.SearchStrategy[Naive]:
    """A literal."""
    match type_:
        case DataType.INT64:
            return integers.filter(lambda v: v > INT64_MIN).map(lambda v: Naive(str(v), type_, lambda row: v))
        case DataType.FLOAT64:
            return doubles.map(lambda v: Naive(repr(v), type_, lambda row: v))
        case DataType.STRING:
            return strings.map(lambda v: Naive(quoted(v), type_, lambda row: v))
        case DataType.TIMESTAMP:
            return times.map(
                lambda v: Naive(f"TIMESTAMP '{(EPOCH + timedelta(milliseconds=v)):%Y-%m-%d %H:%M:%S.%f}'", type_, lambda row: v)
            )
        case _:
            return st.booleans().map(lambda v: Naive(str(v), type_, lambda row: v))


integers = st.one_of(st.integers(-5, 5), st.sampled_from([INT64_MIN, INT64_MAX, 2**53 + 1, -(2**62)]))
doubles = st.one_of(
    st.sampled_from([0.0, 0.5, -1.5, 3.0, 1e-300, 1e300, -1.7976931348623157e308, 5e-324, 9007199254740993.0]),
    st.floats(allow_nan=False, allow_infinity=False),
)
strings = st.one_of(
    st.sampled_from(["", "a", "ab", "aB", "é", "\U0001f6eb", "￿", "it's", "$x", "${a}", "100%", "a\nb", "\\"]), st.text("abé", max_size=3)
)
times = st.one_of(st.sampled_from([0, -1, 951_782_400_000, 1_383_458_400_000]), st.integers(-10_000_000_000_000, 4_000_000_000_000))
VALUES = {
    DataType.INT64: integers,
    DataType.FLOAT64: doubles,
    DataType.STRING: strings,
    DataType.TIMESTAMP: times,
    DataType.BOOLEAN: st.booleans(),
}


def column(name: str) -> Naive:
    """A column."""
    return Naive(f'"{name}"', COLUMNS[name], lambda row: row[name])


def leaves(type_: DataType) -> st.SearchStrategy[Naive]:
    """A column, mostly, or a literal."""
    columns = st.sampled_from([column(name) for name, of in COLUMNS.items() if of is type_])
    return st.one_of(columns, columns, constant(type_))


@cache
def expressions(type_: DataType, depth: int) -> st.SearchStrategy[Naive]:
    """Any expression of one type."""
    if depth == 0:
        return leaves(type_)

    def deeper(*types: DataType) -> list[st.SearchStrategy[Naive]]:
        return [st.deferred(lambda of=of: expressions(of, depth - 1)) for of in types]  # type: ignore[misc]

    same, condition = deeper(type_, DataType.BOOLEAN)
    numeric = st.one_of(deeper(DataType.INT64, DataType.FLOAT64))
    common = [leaves(type_), st.builds(choice, condition, same, same), st.builds(coalesce, same, same), st.builds(nullif, same, same)]
    match type_:
        case DataType.INT64:
            length = deeper(DataType.STRING)[0].map(
                lambda a: Naive(f"LENGTH({a.text})", DataType.INT64, lambda row: all_known(len, a.of(row)))
            )
            parts = st.builds(
                part, st.sampled_from(["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "DAYOFWEEK"]), *deeper(DataType.TIMESTAMP)
            )
            return st.one_of(
                *common, st.builds(arithmetic, st.sampled_from("+-*%"), same, same), same.map(negated), same.map(absolute), length, parts
            )
        case DataType.FLOAT64:
            mixed = st.builds(arithmetic, st.sampled_from("+-*/"), numeric, same)
            ratio = st.builds(arithmetic, st.just("/"), numeric, numeric)
            return st.one_of(
                *common,
                mixed,
                ratio,
                same.map(negated),
                same.map(absolute),
                same.map(floored),
                same.map(ceiled),
                st.builds(choice, condition, same, numeric),
            )
        case DataType.STRING:
            return st.one_of(*common, st.builds(concatenated, same, same))
        case DataType.TIMESTAMP:
            return st.one_of(common)
        case _:
            signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
            compared = [st.builds(comparison, signs, side, side) for side in deeper(DataType.STRING, DataType.TIMESTAMP)]
            logical = [st.builds(conjunction, st.sampled_from(["AND", "OR"]), same, same), same.map(inverted), same.map(certainly)]
            tested = [deeper(of)[0].map(is_null) for of in VALUES]
            found = st.builds(one_of, deeper(DataType.INT64)[0], st.lists(integers.filter(lambda v: v > INT64_MIN), min_size=1, max_size=3))
            matched = st.builds(like, deeper(DataType.STRING)[0], st.text("ab%_é", max_size=4))
            return st.one_of(*common, st.builds(comparison, signs, numeric, numeric), *compared, *logical, *tested, found, matched)


def coalesce(left: Naive, right: Naive) -> Naive:
    """The first that is not null."""
    return Naive(f"COALESCE({left.text}, {right.text})", left.type, lambda row: right.of(row) if left.of(row) is None else left.of(row))


def nullif(left: Naive, right: Naive) -> Naive:
    """Null where both are equal."""
    return Naive(
        f"NULLIF({left.text}, {right.text})",
        left.type,
        lambda row: None if left.of(row) is not None and left.of(row) == right.of(row) else left.of(row),
    )


def negated(value: Naive) -> Naive:
    """Minus."""
    return Naive(f"-({value.text})", value.type, lambda row: all_known(lambda a: number(-a, value.type), value.inside(row)))


def absolute(value: Naive) -> Naive:
    """ABS."""
    return Naive(f"ABS({value.text})", value.type, lambda row: all_known(lambda a: number(abs(a), value.type), value.of(row)))


def floored(value: Naive) -> Naive:
    """FLOOR of a double."""
    return Naive(f"FLOOR({value.text})", value.type, lambda row: all_known(lambda a: float(math.floor(a)), value.of(row)))


def ceiled(value: Naive) -> Naive:
    """CEIL of a double."""
    return Naive(f"CEIL({value.text})", value.type, lambda row: all_known(lambda a: float(math.ceil(a)), value.of(row)))


def concatenated(left: Naive, right: Naive) -> Naive:
    """Two strings in one."""
    return Naive(
        f"({left.text}) || ({right.text})", DataType.STRING, lambda row: all_known(lambda a, b: a + b, left.of(row), right.of(row))
    )


def inverted(value: Naive) -> Naive:
    """NOT."""
    return Naive(f"NOT ({value.text})", DataType.BOOLEAN, lambda row: all_known(lambda a: not a, value.of(row)))


def certainly(value: Naive) -> Naive:
    """IS TRUE."""
    return Naive(f"({value.text}) IS TRUE", DataType.BOOLEAN, lambda row: value.of(row) is True)


def is_null(value: Naive) -> Naive:
    """IS NULL."""
    return Naive(f"({value.text}) IS NULL", DataType.BOOLEAN, lambda row: value.of(row) is None)


def one_of(value: Naive, members: list[int]) -> Naive:
    """IN constants."""
    return Naive(
        f"({value.text}) IN ({', '.join(map(str, members))})",
        DataType.BOOLEAN,
        lambda row: all_known(lambda a: a in members, value.of(row)),
    )


rows = st.fixed_dictionaries({name: st.one_of(st.none(), VALUES[type_], VALUES[type_]) for name, type_ in COLUMNS.items()})
anything = st.sampled_from(list(VALUES)).flatmap(lambda type_: expressions(type_, 3))
