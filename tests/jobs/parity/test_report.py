"""The report says the same on the terminal, to programs and on its page, and escapes what records said."""

from __future__ import annotations

import io
import json
import math
import re

import numpy as np
import pytest
from rich.console import Console

from features.tolerances import Rule
from jobs.parity.evidence import Evidence, TilePair
from jobs.parity.findings import Case, Cases, ColumnParity, Example, Parity, Timeline, sizes
from jobs.parity.page import page
from jobs.parity.report import Report, plain
from jobs.parity.terminal import show

NOON = 1_380_628_800_000
MINUTE = 60_000


def _report(*, wrong: bool) -> Report:
    apart = np.array([0.0, 0.5 if wrong else 0.0])
    key = {"user": "<ann>"}
    example = Example(column="clicks_5m", at_ms=NOON, name="<r1>", online=1, history=2, apart=0.5, key=key)
    column = ColumnParity(
        name="clicks_5m",
        rule=Rule.BITS,
        compared=2,
        different=int(wrong),
        largest=float(apart.max()),
        empty=0,
        sizes=sizes(apart),
        examples=(example,) if wrong else (),
    )
    none = np.empty(0, dtype=np.int64)
    times = np.array([NOON], dtype=np.int64)
    timeline = Timeline.empty(NOON, NOON + MINUTE)
    pair = TilePair(start_ms=NOON - MINUTE, online=None, history={"count": 1})
    evidence = Evidence(view="user_clicks", key=key, low_ms=NOON - 5 * MINUTE, high_ms=NOON, alike=3, pairs=(pair,), different=1)
    return Report(
        subject="service buy",
        row="prediction",
        column="feature",
        parity=Parity(
            columns=(column,),
            rows=2,
            stale=Cases(count=1, first=(Case(at_ms=NOON, name="s<1>", note="60 s behind"),)),
            different_rows=int(wrong),
            timeline=timeline.plus(equal=none if wrong else times, different=times if wrong else none, stale=times),
        ),
        evidence=(evidence,) if wrong else (),
        low_ms=NOON,
        high_ms=NOON,
        how=("History: <here>.",),
        facts={"sample": None},
    )


def _printed(report: Report) -> str:
    out = io.StringIO()
    show(report, Console(file=out, width=160))
    return out.getvalue()


def test_when_all_is_well_every_form_says_so() -> None:
    report = _report(wrong=False)
    assert report.problems == []
    assert report.document()["allowed"] is True
    assert "online equals history: 2 of 2 values" in _printed(report)
    assert "<h1>Online equals history</h1>" in page(report)


def test_a_difference_is_shown_with_both_values_and_the_tile_that_is_missing() -> None:
    report = _report(wrong=True)
    said = json.loads(json.dumps(report.document(), allow_nan=False))
    (example,) = said["features"][0]["examples"]
    assert (said["allowed"], said["different"], example["online"], example["history"]) == (False, 1, 1, 2)
    assert example["tiles"] == [{"start": "2013-10-01T11:59:00Z", "what": "missing online", "online": None, "history": {"count": 1}}]
    printed = _printed(report)
    assert "clicks_5m of <r1> at 2013-10-01T12:00:00Z: online 1, history 2" in printed
    assert "2013-10-01T11:59:00Z missing online: online nothing | history count=1" in printed
    assert "✗ 1 of 2 values differ, in 1 prediction" in printed
    html = page(report)
    assert "<h1>Online and history differ</h1>" in html
    for shown in ("&lt;r1&gt;", "&lt;ann&gt;", "s&lt;1&gt;", "missing online", "History: &lt;here&gt;."):
        assert shown in html
    assert not re.search(r"<(r1|ann|here)>", html)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_json_holds_no_number_that_is_none(value: float) -> None:
    assert isinstance(plain([{"x": value}])[0]["x"], str)
