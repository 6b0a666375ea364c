"""What each operation of the expression language means in Flink SQL, Spark SQL and Arrow: one row of a table each.

Semantics everywhere: three-valued logic; int64 arithmetic wraps; `/` is division of doubles; x / 0 and x % 0 are null; a double that
is not finite becomes null where it leaves arithmetic; strings compare by their UTF-8 bytes; the parts of a timestamp are UTC.
Spark runs with ANSI off, Flink with `table.local-time-zone` UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot.tokens import Tokenizer

from schemas.types import DataType

Dialect = Literal["text", "flink", "spark"]
Value = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A typed operation over typed arguments.

    Attributes:
        op: A key of `OPERATIONS`, or `column`, `literal`, `null`.
        value: A column's name, a literal's value (timestamps as ms since the epoch), a pattern; else None.
    """

    op: str
    type: DataType
    nullable: bool
    args: tuple[Node, ...] = ()
    value: Value | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """How one operation is written and computed.

    Attributes:
        text: `str.format` template of the canonical text, arguments by position.
        flink, spark: Where they differ from the text.
        arrow: Computes it from Arrow arrays or scalars.
        compound: Whether the text needs parentheses inside another operation.
    """

    text: str
    arrow: Callable[..., Any]
    flink: str | None = None
    spark: str | None = None
    compound: bool = True

    def template(self, dialect: Dialect) -> str:
        """The `str.format` template of one dialect."""
        return {"flink": self.flink, "spark": self.spark, "text": None}[dialect] or self.text


_SIMPLE_PATTERN = re.compile("%?[^%_]*%?")
_FINITE = "CASE WHEN ABS({0}) <= 1.7976931348623157E308 THEN {0} END"
_EPOCH = datetime(1970, 1, 1)


def _divide(left: Any, right: Any) -> Any:
    return pc.divide(left, pc.if_else(pc.equal(right, pa.scalar(0.0)), pa.scalar(None, pa.float64()), right))


def _modulo(left: Any, right: Any) -> Any:
    # x % -1 is x % 1; this way the division cannot overflow.
    divisor = pc.if_else(
        pc.equal(right, pa.scalar(0)),
        pa.scalar(None, pa.int64()),
        pc.if_else(pc.equal(right, pa.scalar(-1)), pa.scalar(1, pa.int64()), right),
    )
    return pc.subtract(left, pc.multiply(pc.divide(left, divisor), divisor))


def _finite(values: Any) -> Any:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _is(expected: bool) -> Callable[[Any], Any]:
    return lambda values: pc.fill_null(pc.equal(values, pa.scalar(expected)), False)


def _part(part: Callable[..., Any], **options: object) -> Callable[[Any], Any]:
    """A part of a timestamp in UTC; the zone is dropped first, so that no time zone database is asked."""
    return lambda times: pc.cast(part(pc.cast(pc.cast(times, pa.int64()), pa.timestamp("ms")), **options), pa.int64())


def _modulo_seconds(of: int, unit: int) -> str:
    return f"CAST(PMOD(UNIX_SECONDS({{0}}), {of}) DIV {unit} AS BIGINT)"


def _extract(part: str) -> str:
    # Before 1970 Flink's EXTRACT counts backwards (hour -23); 2000 years on, the calendar and its weekdays are the same.
    return f"EXTRACT({part} FROM CAST({{0}} AS TIMESTAMP(3)) + INTERVAL '2000' YEAR(4))"


OPERATIONS: Mapping[str, Operation] = {
    "add": Operation(text="{0} + {1}", arrow=pc.add),
    "subtract": Operation(text="{0} - {1}", arrow=pc.subtract),
    "multiply": Operation(text="{0} * {1}", arrow=pc.multiply),
    "divide": Operation(text="{0} / {1}", flink="{0} / NULLIF({1}, 0E0)", spark="{0} / NULLIF({1}, 0D)", arrow=_divide),
    "modulo": Operation(text="{0} % {1}", flink="MOD({0}, NULLIF({1}, CAST(0 AS BIGINT)))", spark="{0} % NULLIF({1}, 0L)", arrow=_modulo),
    "negate": Operation(text="-{0}", arrow=pc.negate),
    "abs": Operation(text="ABS({0})", arrow=pc.abs, compound=False),
    # Spark's FLOOR and CEIL of a double are BIGINT; from 2^53 on every double is whole.
    "floor": Operation(
        text="FLOOR({0})",
        spark="CASE WHEN ABS({0}) < 9007199254740992D THEN CAST(FLOOR({0}) AS DOUBLE) ELSE {0} END",
        arrow=pc.floor,
        compound=False,
    ),
    "ceil": Operation(
        text="CEIL({0})",
        spark="CASE WHEN ABS({0}) < 9007199254740992D THEN CAST(CEIL({0}) AS DOUBLE) ELSE {0} END",
        arrow=pc.ceil,
        compound=False,
    ),
    "double": Operation(text="CAST({0} AS DOUBLE)", arrow=lambda values: pc.cast(values, pa.float64(), safe=False), compound=False),
    "finite": Operation(text="{0}", flink=_FINITE, spark=_FINITE, arrow=_finite, compound=False),
    "equal": Operation(text="{0} = {1}", arrow=pc.equal),
    "not_equal": Operation(text="{0} <> {1}", arrow=pc.not_equal),
    "less": Operation(text="{0} < {1}", arrow=pc.less),
    "less_equal": Operation(text="{0} <= {1}", arrow=pc.less_equal),
    "greater": Operation(text="{0} > {1}", arrow=pc.greater),
    "greater_equal": Operation(text="{0} >= {1}", arrow=pc.greater_equal),
    "and": Operation(text="{0} AND {1}", arrow=pc.and_kleene),
    "or": Operation(text="{0} OR {1}", arrow=pc.or_kleene),
    "not": Operation(text="NOT {0}", arrow=pc.invert),
    "is_null": Operation(text="{0} IS NULL", arrow=pc.is_null),
    "is_true": Operation(text="{0} IS TRUE", arrow=_is(True)),
    "is_false": Operation(text="{0} IS FALSE", arrow=_is(False)),
    "concat": Operation(text="{0} || {1}", arrow=lambda left, right: pc.binary_join_element_wise(left, right, "")),
    "length": Operation(
        text="LENGTH({0})",
        flink="CAST(CHAR_LENGTH({0}) AS BIGINT)",
        spark="CAST(LENGTH({0}) AS BIGINT)",
        arrow=lambda values: pc.cast(pc.utf8_length(values), pa.int64()),
        compound=False,
    ),
    "year": Operation(
        text="YEAR({0})",
        flink=f"CAST({_extract('YEAR')} - 2000 AS BIGINT)",
        spark="CAST(YEAR({0}) AS BIGINT)",
        arrow=_part(pc.year),
        compound=False,
    ),
    "month": Operation(
        text="MONTH({0})",
        flink=f"CAST({_extract('MONTH')} AS BIGINT)",
        spark="CAST(MONTH({0}) AS BIGINT)",
        arrow=_part(pc.month),
        compound=False,
    ),
    "day": Operation(
        text="DAY({0})", flink=f"CAST({_extract('DAY')} AS BIGINT)", spark="CAST(DAY({0}) AS BIGINT)", arrow=_part(pc.day), compound=False
    ),
    "day_of_week": Operation(
        text="DAYOFWEEK({0})",
        flink=f"CAST({_extract('DOW')} AS BIGINT)",
        spark="CAST(DAYOFWEEK({0}) AS BIGINT)",
        arrow=_part(pc.day_of_week, count_from_zero=False, week_start=7),
        compound=False,
    ),
    "hour": Operation(
        text="HOUR({0})",
        flink=f"CAST({_extract('HOUR')} AS BIGINT)",
        spark=_modulo_seconds(86_400, 3_600),
        arrow=_part(pc.hour),
        compound=False,
    ),
    "minute": Operation(
        text="MINUTE({0})",
        flink=f"CAST({_extract('MINUTE')} AS BIGINT)",
        spark=_modulo_seconds(3_600, 60),
        arrow=_part(pc.minute),
        compound=False,
    ),
    "second": Operation(
        text="SECOND({0})",
        flink=f"CAST({_extract('SECOND')} AS BIGINT)",
        spark=_modulo_seconds(60, 1),
        arrow=_part(pc.second),
        compound=False,
    ),
}


def write(node: Node, dialect: Dialect, prefix: str = "") -> str:
    """The node in one dialect; operands are parenthesised, so no engine's precedence matters."""
    match node.op:
        case "column":
            return _column(str(node.value), dialect, prefix)
        case "literal":
            return _literal(node, dialect)
        case "null":
            return "NULL" if dialect == "text" else f"CAST(NULL AS {node.type.flink if dialect == 'flink' else node.type.spark})"
    args = [write(arg, dialect, prefix) for arg in node.args]
    match node.op:
        case "case":
            whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(args[:-1:2], args[1:-1:2], strict=True))
            return f"CASE {whens} ELSE {args[-1]} END"
        case "coalesce":
            if dialect == "flink":
                # COALESCE fails to plan in Flink 2.3 once an argument turns out constant: RemoveUnreachableCoalesceArgumentsRule changes its type.
                known = " ".join(f"WHEN ({arg}) IS NOT NULL THEN {arg}" for arg in args[:-1])
                return f"CASE {known} ELSE {args[-1]} END" if known else args[-1]
            return f"COALESCE({', '.join(args)})"
        case "in":
            return f"{_operand(node.args[0], args[0], dialect)} IN ({', '.join(args[1:])})"
        case "like":
            return _like(_operand(node.args[0], args[0], dialect), str(node.value), dialect)
        case "equal" | "not_equal" if dialect == "flink" and any(_is_zero(arg) for arg in node.args):
            # Flink may turn equalities into a hash set of boxed doubles, in which -0.0 is not 0.0.
            args = [arg if _is_zero(side) else f"ABS({arg})" for side, arg in zip(node.args, args, strict=True)]
    template = OPERATIONS[node.op].template(dialect)
    if OPERATIONS[node.op].compound:
        args = [_operand(arg, text, dialect) for arg, text in zip(node.args, args, strict=True)]
    return template.format(*args)


def _is_zero(node: Node) -> bool:
    return node.op == "literal" and node.type is DataType.FLOAT64 and node.value == 0.0


def _like(operand: str, pattern: str, dialect: Dialect) -> str:
    if dialect != "flink" or _SIMPLE_PATTERN.fullmatch(pattern):
        return f"{operand} LIKE {_string(pattern, dialect)}"
    # In Flink's LIKE neither _ nor an inner % is ever a line break.
    expression = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return f"REGEXP({operand}, {_string('(?s)^' + expression + '(?!.)', dialect)})"


def _operand(node: Node, text: str, dialect: Dialect) -> str:
    while node.op == "finite" and dialect == "text":
        node = node.args[0]
    negative = node.op == "literal" and isinstance(node.value, (int, float)) and node.value < 0
    bare = node.op not in ("in", "like") and (node.op not in OPERATIONS or not OPERATIONS[node.op].compound)
    return text if bare and not negative and node.op != "finite" else f"({text})"


def _column(name: str, dialect: Dialect, prefix: str) -> str:
    if dialect != "text":
        return f"{prefix}`{name}`"
    return f'"{name}"' if name.upper() in Tokenizer.KEYWORDS else name


def _literal(node: Node, dialect: Dialect) -> str:
    value = node.value
    match node.type:
        case DataType.BOOLEAN:
            return "TRUE" if value else "FALSE"
        case DataType.INT64:
            return {"text": f"{value}", "flink": f"CAST({value} AS BIGINT)", "spark": f"{value}L"}[dialect]
        case DataType.FLOAT64:
            return _double(float(value or 0.0), dialect)
        case DataType.TIMESTAMP:
            if dialect == "text":
                return f"TIMESTAMP '{(_EPOCH + timedelta(milliseconds=int(value or 0))).isoformat(' ', 'milliseconds')}'"
            return f"TO_TIMESTAMP_LTZ(CAST({value} AS BIGINT), 3)" if dialect == "flink" else f"TIMESTAMP_MILLIS({value}L)"
        case _:
            return _string(str(value), dialect)


def _double(value: float, dialect: Dialect) -> str:
    digits = repr(value)
    if dialect == "text":
        return digits
    if "e" not in digits:
        digits += "E0"
    return digits.upper() + ("D" if dialect == "spark" else "")


def _string(value: str, dialect: Dialect) -> str:
    if dialect == "spark":  # the dollar sign would start one of Spark's variables
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024") + "'"
    quoted = "'" + value.replace("'", "''") + "'"
    return f"CAST({quoted} AS STRING)" if dialect == "flink" else quoted


def compute(node: Node, columns: Mapping[str, Any], rows: int) -> Any:
    """The node over Arrow arrays by column name: an array, or a scalar for a constant."""
    match node.op:
        case "column":
            return columns[str(node.value)]
        case "literal":
            return pa.scalar(node.value, node.type.arrow)
        case "null":
            return pa.scalar(None, node.type.arrow)
    args = [compute(arg, columns, rows) for arg in node.args]
    match node.op:
        case "case":
            whens = [pc.fill_null(as_array(when, rows), False) for when in args[:-1:2]]
            names = [str(index) for index in range(len(whens))]
            return pc.case_when(pa.StructArray.from_arrays(whens, names), *args[1:-1:2], args[-1])
        case "coalesce":
            return pc.coalesce(*args)
        case "in":
            values = pa.array([arg.value for arg in node.args[1:]], node.args[0].type.arrow)
            found = pc.is_in(args[0], value_set=values)
            return pc.if_else(pc.is_null(args[0]), pa.scalar(None, pa.bool_()), found)
        case "like":
            return pc.match_like(args[0], pattern=str(node.value))
    return OPERATIONS[node.op].arrow(*args)


def as_array(values: Any, rows: int) -> Any:
    """A constant repeated for every row; an array as it is."""
    repeat: Any = pa.repeat
    return repeat(values, rows) if isinstance(values, pa.Scalar) else values


def walk(nodes: Sequence[Node]) -> list[Node]:
    """All nodes below and including the given ones."""
    return [found for node in nodes for found in (node, *walk(node.args))]
