"""The same random expressions in Flink, in Spark and in plain Python: one value, bit by bit."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from features.expressions.expression import Expression, parse
from features.partials.buckets import BucketsPartial
from features.partials.map_partial import MapPartial
from features.partials.registers import RegistersPartial
from features.partials.tally import TallyPartial
from infra.java import java_environment
from schemas.errors import DefinitionError
from schemas.types import DataType
from tests.features.expressions.naive_expressions import (
    COLUMNS,
    Naive,
    Row,
    anything,
    choice,
    coalesce,
    column,
    comparison,
    conjunction,
    like,
    one_of,
    part,
    rows,
)
from tests.naive_entries import bucket, escaped, hashed

pytestmark = pytest.mark.e2e

EXAMPLES = 240
QUICK_TO_START = java_environment() | {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
fixed = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def text(value: str) -> Naive:
    return Naive(f"'{value}'", DataType.STRING, lambda row: value)


def number(value: float) -> Naive:
    return Naive(repr(value), DataType.FLOAT64, lambda row: value)


TRAPS = [
    *(
        part(name, column("t")) for name in ("YEAR", "MONTH", "DAY", "DAYOFWEEK", "HOUR", "MINUTE", "SECOND")
    ),  # Flink's count backwards before 1970
    coalesce(choice(column("b"), text("a"), text("a")), column("s")),  # Flink fails to plan a COALESCE of what turns out constant
    choice(column("b"), text("a"), text("long")),  # Calcite pads strings of two lengths
    one_of(column("i"), list(range(-5, 40))),  # a hash set beyond a number of members, and so the next
    functools.reduce(
        lambda left, right: conjunction("OR", left, right),
        [comparison("=", column("x"), number(value)) for value in (0.0, 0.5, 3.0, 7.5, 9.5, 11.5)],
    ),
    *(like(column("s"), pattern) for pattern in ("a%", "%b", "%", "_", "%é%", "a_b", "100%", "", "a%b", "a%.b_", "%\n%", "__")),
]
EDGES: list[Row] = [
    dict.fromkeys(COLUMNS) | {"x": value, "s": string, "t": time}
    for value, string, time in [
        (-0.0, "a", -1),
        (0.0, "a\nb", -86_399_999),
        (0.5, "\U0001f6eb", -62_135_596_799_999),
        (-0.5, "\uffff", 253_402_300_799_999),
    ]
]


@functools.cache
def drawn() -> tuple[list[tuple[Naive, Expression]], list[Row]]:
    """The same expressions and rows at every run."""
    pairs = {naive.text: (naive, parse(naive.text, COLUMNS, frozenset(COLUMNS), "trap")) for naive in TRAPS}
    data = list(EDGES)

    @fixed
    @given(anything)
    def draw_expression(naive: Naive) -> None:
        try:
            expression = parse(naive.text, COLUMNS, frozenset(COLUMNS), "drawn")
        except DefinitionError:
            return
        if expression.type is not DataType.TIMESTAMP:
            pairs[expression.text] = (naive, expression)

    @fixed
    @given(rows)
    def draw_row(row: Row) -> None:
        data.append(row)

    draw_expression()
    draw_row()
    return list(pairs.values()), data[:60]


# Buckets at and around every power of two, where a logarithm's last bit could decide; the hash of any text.
POWERS = [2.0**exponent for exponent in range(-1022, 1024)]
DOUBLES = [
    *POWERS,
    *(math.nextafter(power, 0) for power in POWERS),
    *(power * (1 + 1 / 64) for power in POWERS[::16]),
    *(0.0, 5e-324, -3.0, -0.1, 0.1, 1e9, math.nextafter(math.inf, 0)),
]
STRINGS = ["", "a", "é", "\U0001f6eb", "a,b", "\\s,", *(f"w{number}" for number in range(400))]


@dataclass(frozen=True, kw_only=True)
class Computed:
    """What an engine says: of the drawn expressions, and of sub-keys. Its Java is started once for both."""

    drawn: list[list[Any]]
    sub_keys: list[list[Any]]


@pytest.fixture(scope="module", params=["flink", "spark"])
def computed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Computed:
    engine, folder = request.param, tmp_path_factory.mktemp("engine")
    pairs, data = drawn()
    numbered = [dict.fromkeys(COLUMNS) | {"x": value} for value in DOUBLES] + [dict.fromkeys(COLUMNS) | {"s": string} for string in STRINGS]
    jobs = [
        job(folder / "drawn.json", data, [expression.sql(engine) for _, expression in pairs]),
        job(folder / "sub_keys.json", numbered, sub_keys(engine)),
    ]
    command = [sys.executable, "-m", "tests.features.expressions.engines", engine, *map(str, jobs)]
    done = subprocess.run(command, env=QUICK_TO_START, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    drawn_values, sub_key_values = (json.loads(Path(f"{path}.out").read_text()) for path in jobs)
    return Computed(drawn=drawn_values, sub_keys=sub_key_values)


def job(path: Path, data: Sequence[Mapping[str, Any]], expressions: list[str]) -> Path:
    lines = path.with_suffix(".rows")
    lines.write_text("".join(json.dumps({"row": index, **row}) + "\n" for index, row in enumerate(data)))
    path.write_text(json.dumps({"rows": str(lines), "columns": COLUMNS, "expressions": expressions}))
    return path


def sub_keys(engine: Any) -> list[str]:
    """Bucket, register, text and rank."""

    def partial(kind: type[MapPartial], name: str) -> MapPartial:
        return kind(name="m", input=parse(name, COLUMNS, frozenset(COLUMNS), "sub-key"), parameter=64)

    partials = [partial(BucketsPartial, "x"), partial(RegistersPartial, "s"), partial(TallyPartial, "s")]
    expressions = [each.sub_key_sql(each.event_sql(engine), engine) for each in partials]
    rank = partials[1].number_sql(partials[1].event_sql(engine), engine)
    return [*expressions, f"CAST({rank.removeprefix('MAX')} AS BIGINT)"]


def test_an_engine_computes_what_plain_python_does(computed: Computed) -> None:
    pairs, data = drawn()
    assert len(computed.drawn) == len(pairs) > EXAMPLES / 3
    different = [
        (expression.text, row, found, naive.of(row))
        for (naive, expression), values in zip(pairs, computed.drawn, strict=True)
        for row, found in zip(data, values, strict=True)
        if comparable(found) != comparable(naive.of(row))
    ]
    assert not different, f"{len(different)} values differ, e.g. {different[:3]}"


def test_an_engine_finds_the_sub_keys_that_exact_arithmetic_finds(computed: Computed) -> None:
    buckets, registers, texts, ranks = computed.sub_keys
    assert buckets[: len(DOUBLES)] == [bucket(value, 64) for value in DOUBLES]
    assert list(zip(registers, ranks, strict=True))[len(DOUBLES) :] == [hashed(string) for string in STRINGS]
    assert texts[len(DOUBLES) :] == [escaped(string) for string in STRINGS]


def comparable(value: Any) -> Any:
    """Doubles by their bits, except that 0.0 is −0.0; strings that are doubles in hex come from an engine."""
    if isinstance(value, float):
        return (value + 0.0).hex()
    return "0x0.0p+0" if value == "-0x0.0p+0" else value
