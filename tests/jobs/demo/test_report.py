"""The report is one file that needs nothing else, and shows what was measured."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.tolerances import Rule
from jobs.demo.figures import stormiest_day
from jobs.demo.report import FaultCount, Findings, page
from jobs.parity.findings import ColumnParity, Parity, sizes
from jobs.report.chart import Axis, even_ticks


def _scored(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    times = pd.date_range("2013-10-07 09:00", periods=rows, freq="3min", tz="UTC").astype("datetime64[ms, UTC]")
    score = rng.uniform(0, 1, rows)
    mean = pd.array(rng.normal(10, 20, rows), dtype="Float64")
    mean[:5] = pd.NA
    happened = pd.array(rng.uniform(0, 1, rows) < score, dtype="boolean")
    happened[::17] = pd.NA
    return pd.DataFrame(
        {
            "event_time": times,
            "origin": np.where(np.arange(rows) % 3 == 0, "EWR", "JFK"),
            "origin_departures_1h": rng.integers(0, 30, rows),
            "origin_dep_delay_mean_1h": mean,
            "score": score,
            "static_score": rng.uniform(0, 1, rows),
            "happened": happened,
            "stale": False,
        }
    )


def _findings(**changed: Any) -> Findings:
    column = ColumnParity(
        name="origin_departures_1h", rule=Rule.BITS, compared=600, different=0, largest=0.0, empty=0, sizes=sizes(np.zeros(600))
    )
    parity = Parity(columns=(column,), rows=600)
    summary = {
        "events": 1200,
        "dead_letters": 2,
        "injected_bad": 2,
        "tiles": 99,
        "predictions": 600,
        "exact_share": 1.0,
        "parity": parity.summary(),
        "auc_live": 0.71,
        "auc_static": 0.61,
        "log_loss_live": 0.4,
        "throughput_events_per_s": 1234.5,
        "latency_ms": {"p50": 40.0, "p99": 90.0},
        "wall_s": 200.0,
        "versions": {"kafka": "4.4.0"},
    }
    latency = np.random.default_rng(3).lognormal(4, 0.5, 600)
    faults = (FaultCount(kind="<script>", injected=2, found=1, reason="truncated: <b>"),)
    given = {
        "summary": summary,
        "served": pa.table({}),
        "scored": _scored(),
        "parity": parity,
        "faults": faults,
        "late": 3,
        "repeats": 4,
        "latency_ms": latency,
        "days": 1,
    }
    return Findings(**(given | changed))


class _Balanced(HTMLParser):
    """Fails on a tag that closes nothing."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_it_loads_nothing_and_is_well_formed() -> None:
    html = page(_findings())
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!#)[^"')\s>]+""", html.split("</style>")[1]) == []
    parser = _Balanced()
    parser.feed(html)
    assert parser.open == []
    assert html.count("<svg") >= 6
    assert len(html) < 1_000_000


def test_it_shows_the_figures_and_escapes_what_records_said() -> None:
    html = page(_findings())
    for shown in ("0.710", "1,234/s", "p99 90 ms", "1 of 2", "kafka", "&lt;script&gt;", "truncated: &lt;b&gt;"):
        assert shown in html
    assert "<script>" in html  # our own
    assert "truncated: <b>" not in html


def test_a_share_just_below_one_is_not_shown_as_all() -> None:
    summary = dict(_findings().summary) | {"exact_share": 0.999999}
    assert "99.99 %" in page(_findings(summary=summary))


def test_the_day_shown_is_the_one_the_model_feared_most() -> None:
    scored = _scored()
    scored.loc[scored["origin"] == "JFK", "score"] += 1
    assert stormiest_day(scored).origin == "JFK"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-7, 93), (0, 28.6), (0, 1e6), (3, 3.001)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = even_ticks(low, high, 4)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_a_logarithmic_axis_places_the_middle_in_the_middle() -> None:
    axis = Axis(low=1, high=10_000, ticks=(), log=True)
    assert axis.place(np.array([1.0, 100.0, 10_000.0]), 0, 200).tolist() == pytest.approx([0, 100, 200])
