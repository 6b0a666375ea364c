"""The same random expressions in Flink, in Spark and in plain Python: one value, bit by bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from features.expression import Expression, parse
from infra.java import java_environment
from schemas.errors import DefinitionError
from schemas.types import DataType
from tests.features.naive_expressions import COLUMNS, Naive, Row, anything, rows

pytestmark = pytest.mark.e2e

EXAMPLES = 900
fixed = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def drawn() -> tuple[list[tuple[Naive, Expression]], list[Row]]:
    """The same expressions and rows at every run."""
    pairs: dict[str, tuple[Naive, Expression]] = {}
    data: list[Row] = []

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


@pytest.mark.timeout(420)
@pytest.mark.parametrize("engine", ["flink", "spark"])
def test_an_engine_computes_what_plain_python_does(engine: Any, tmp_path: Path) -> None:
    pairs, data = drawn()
    lines = tmp_path / "rows.json"
    lines.write_text("".join(json.dumps({"row": index, **row}) + "\n" for index, row in enumerate(data)))
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"rows": str(lines), "columns": COLUMNS, "expressions": [expression.sql(engine) for _, expression in pairs]}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.features.engines", engine, str(job)], env=java_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(Path(f"{job}.out").read_text())
    assert len(results) == len(pairs) > EXAMPLES / 3
    different = [
        (expression.text, row, found, naive.of(row))
        for (naive, expression), values in zip(pairs, results, strict=True)
        for row, found in zip(data, values, strict=True)
        if comparable(found) != comparable(naive.of(row))
    ]
    assert not different, f"{len(different)} values differ, e.g. {different[:3]}"


def comparable(value: Any) -> Any:
    """Doubles by their bits, except that 0.0 is −0.0; strings that are doubles in hex come from an engine."""
    if isinstance(value, float):
        return (value + 0.0).hex()
    return "0x0.0p+0" if value == "-0x0.0p+0" else value
