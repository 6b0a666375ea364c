"""The expression language: one value in every engine, one canonical text, and one clear line for what is refused."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from features.expressions.expression import Expression, parse
from schemas.errors import DefinitionError
from schemas.types import DataType
from tests.features.expressions.naive_expressions import COLUMNS, Naive, Row, anything, rows

NULLABLE = frozenset(COLUMNS)
laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def read(text: str) -> Expression:
    return parse(text, COLUMNS, NULLABLE, "view.feature", owner='source "events"')


def table(data: list[Row]) -> pa.Table:
    arrays = {}
    for name, type_ in COLUMNS.items():
        array = pa.array([row[name] for row in data], pa.int64() if type_ is DataType.TIMESTAMP else type_.arrow)
        arrays[name] = array.cast(type_.arrow)
    return pa.table(arrays)


def values(expression: Expression, data: pa.Table) -> list[Any]:
    result = expression.evaluate(data)
    assert result.type == expression.type.arrow
    return (result.cast(pa.int64()) if expression.type is DataType.TIMESTAMP else result).to_pylist()


def bits(value: Any) -> Any:
    """Doubles by their bits, except that 0.0 is −0.0."""
    return struct.pack("<d", value + 0.0) if isinstance(value, float) else value


@pytest.mark.slow
@laws
@given(anything, st.lists(rows, min_size=1, max_size=5))
def test_arrow_computes_what_plain_python_does(naive: Naive, data: list[Row]) -> None:
    expression = read_or_skip(naive.text)
    assert expression.type is naive.type
    assert [bits(value) for value in values(expression, table(data))] == [bits(naive.of(row)) for row in data]


@laws
@given(anything)
def test_canonical_text_parses_to_itself(naive: Naive) -> None:
    expression = read_or_skip(naive.text)
    again = read(expression.text)
    assert (again, again.text) == (expression, expression.text)


@laws
@given(anything, rows)
def test_what_is_not_nullable_is_never_null(naive: Naive, row: Row) -> None:
    known = {name: value for name, value in row.items() if value is not None}
    expression = parse(naive.text, COLUMNS, NULLABLE - set(known), "view.feature") if len(naive.text) < 4096 else None
    if expression is not None and not expression.nullable:
        assert naive.of(row) is not None


def read_or_skip(text: str) -> Expression:
    """Random expressions may be larger than allowed."""
    try:
        return read(text)
    except DefinitionError as error:
        if "at most" in str(error):
            reject()
        raise


@pytest.mark.parametrize(
    ("text", "flink", "spark"),
    [
        ("i > 15", "`i` > CAST(15 AS BIGINT)", "`i` > 15L"),
        ("x > 15", "`x` > 15.0E0", "`x` > 15.0E0D"),
        ("s = 'it''s $5\\'", "`s` = CAST('it''s $5\\' AS STRING)", "`s` = 'it\\'s \\u00245\\\\'"),
        ("i % 7", "MOD(`i`, NULLIF(CAST(7 AS BIGINT), CAST(0 AS BIGINT)))", "`i` % NULLIF(7L, 0L)"),
        (
            "x / y",
            "CASE WHEN ABS(`x` / NULLIF(`y`, 0E0)) <= 1.7976931348623157E308 THEN `x` / NULLIF(`y`, 0E0) END",
            "CASE WHEN ABS(`x` / NULLIF(`y`, 0D)) <= 1.7976931348623157E308 THEN `x` / NULLIF(`y`, 0D) END",
        ),
        (
            "t >= TIMESTAMP '2013-10-01 00:00:00'",
            "`t` >= TO_TIMESTAMP_LTZ(CAST(1380585600000 AS BIGINT), 3)",
            "`t` >= TIMESTAMP_MILLIS(1380585600000L)",
        ),
    ],
)
def test_every_engine_gets_explicit_types_and_quotes(text: str, flink: str, spark: str) -> None:
    assert (read(text).sql("flink"), read(text).sql("spark")) == (flink, spark)


def test_prefix_goes_before_every_column() -> None:
    assert read("i + j > 3").sql("spark", "e.") == "(e.`i` + e.`j`) > 3L"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x>15", "x > 15.0"),
        ("i != 3", "i <> 3"),
        ("NOT i IS NULL", "i is not null"),
        ("i BETWEEN 1 AND 3", "i >= 1 AND i <= 3"),
        ("((i))", "i"),
    ],
)
def test_spelling_does_not_matter(one: str, other: str) -> None:
    assert read(one) == read(other)


def test_columns_are_what_is_read() -> None:
    assert read('x > 1 AND "end" AND x < 5').columns == ("end", "x")


def test_survives_pickling() -> None:
    expression = read("x / y > 3")
    assert pickle.loads(pickle.dumps(expression)) == expression


def test_constants_fill_every_row_even_of_none() -> None:
    assert read("1 + 1").evaluate(table([])).to_pylist() == []
    empty = table([]).slice(0, 0)
    assert read("CASE WHEN b THEN 1 ELSE 2 END").evaluate(empty).to_pylist() == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("xx > 1", 'source "events" has no column "xx"; did you mean "x"?'),
        ("B", 'source "events" has no column "B"; did you mean "b"?'),
        ("i >", 'cannot parse "i >": something is missing at character 3'),
        ("(i", 'cannot parse "(i"'),
        ("'open", 'cannot parse "\'open": a quote is not closed'),
        ("", 'cannot parse "": it is empty'),
        ("i j", 'cannot parse "i j": unexpected "j" at character 3'),
        ("i; j", '"i; j" is not part of the expression language'),
        ("SELECT 1", "cannot parse"),
        ("i IN (SELECT 1)", "not part of the expression language"),
        ("i OVER ()", "cannot parse"),
        ("SUM(i)", '"SUM(i)" aggregates; an expression is over one event'),
        ("COUNT(*)", "aggregates"),
        ("ABSS(i)", "no function ABSS; did you mean ABS?"),
        ("WEEKDAY(t)", "no function WEEKDAY; did you mean DAYOFWEEK?"),
        ("RAND()", "no function RAND"),
        ("CURRENT_TIMESTAMP", "no function CURRENT_TIMESTAMP"),
        ("ROUND(x)", "ROUND is refused: engines round halves differently; write FLOOR(x + 0.5)"),
        ("UPPER(s)", "UPPER is refused: engines differ outside ASCII"),
        ("POWER(x, 2)", "POWER is refused: the last digit differs between engines"),
        ("GREATEST(i, j)", "GREATEST is refused"),
        ("s + 1", '+ needs numbers, got string column "s"'),
        ("t - u", "- of timestamps is refused"),
        ("x % 2", "% of doubles is refused"),
        ("i = 's'", '= cannot compare int64 column "i" with string'),
        ("b < b", "< is not for boolean"),
        ("i = NULL", "= NULL is never true; write IS NULL or IS NOT NULL"),
        ("NULL", "the expression is NULL"),
        ("i AND b", 'AND needs a boolean, got int64 column "i"'),
        ("NOT s", "NOT needs a boolean"),
        ("CASE WHEN b THEN 1 ELSE 's' END", "CASE mixes int64 and string"),
        ("CASE WHEN b THEN NULL END", "CASE has only NULL"),
        ("COALESCE(i, s)", "COALESCE mixes int64 and string"),
        ("x IN (1, 2)", "IN is for int64, string and timestamp, not for float64"),
        ("i IN (1, NULL)", "IN is followed by constants other than NULL"),
        ("s LIKE r", "LIKE is followed by a constant pattern"),
        ("s LIKE 'a\\b'", "LIKE is followed by a constant pattern without backslashes"),
        ("s LIKE 'a' ESCAPE '!'", "not part of the expression language"),
        ("CAST(x AS BIGINT)", 'CAST is for int64 to DOUBLE only, got float64 column "x" to BIGINT'),
        ("TIMESTAMP 'tomorrow' = t", 'TIMESTAMP "tomorrow" is not a time'),
        ("EXTRACT(CENTURY FROM t)", "EXTRACT has no part CENTURY"),
        ("HOUR(i)", 'HOUR needs a timestamp, got int64 column "i"'),
        ("99999999999999999999", "does not fit int64"),
        ("1e999", "does not fit float64"),
        ("i.j", "not part of the expression language"),
        ("(" * 1500 + "i" + ")" * 1500, "nested too deeply"),
        (" + ".join(["i"] * 200), "at most 256 are allowed"),
        ("i" * 5000, "at most 4096 are allowed"),
    ],
)
def test_refused_in_one_line(text: str, what: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(text)
    assert what in str(caught.value)
    assert str(caught.value).startswith("view.feature: ")
    assert "\n" not in str(caught.value)
