"""The figures of the page: when rows agreed and when not, and how far values lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from features.tolerances import RELATIVE_TOLERANCE
from jobs.parity.findings import SIZES, ColumnParity, Timeline
from jobs.parity.report import SIZE_NAMES, time_text
from jobs.report.chart import Axis, Bars, Dots, Hover, Mark, Panel, even_ticks

_WIDTH, _LEFT, _ROW, _TOP = 1060, 230, 24, 46
_STEP = (_WIDTH - _LEFT - 20) / SIZES
_TICKS = {"0": "equal", "above 1": "&gt;1"}
_TOLERATED = SIZE_NAMES.index(f"{RELATIVE_TOLERANCE:.0e}")


def when(timeline: Timeline, row: str) -> str:
    """Rows by time as stacked bars, and a dot wherever one differs, however few they are."""
    edges = timeline.edges_ms.astype(np.float64)
    total = (timeline.equal + timeline.different + timeline.stale).astype(np.float64)
    top = max(float(total.max(initial=0.0)), 1.0) * 1.12
    middle = (edges[:-1] + edges[1:]) / 2
    wrong = np.where(timeline.different > 0, top * 0.97, np.nan)
    marks: list[Mark] = [
        Bars(edges=edges, heights=total, style="static"),
        Bars(edges=edges, heights=(timeline.equal + timeline.different).astype(np.float64), style="bad"),
        Bars(edges=edges, heights=timeline.equal.astype(np.float64), style="live"),
        Dots(x=middle, y=wrong, style="bad", radius=np.full(len(middle), 4.0)),
    ]
    steps = range(0, len(edges), max(1, len(edges) // 6))
    x = Axis(low=edges[0], high=edges[-1], ticks=[float(edges[i]) for i in steps], format=_short, label="UTC")
    y = Axis(low=0, high=top, ticks=even_ticks(0, top, 3), format="{:,.0f}".format, label=f"{row}s")
    rows = [
        [("live", "agree", f"{a:,}"), ("bad", "differ", f"{b:,}"), *([("static", "stale", f"{c:,}")] if row == "prediction" else [])]
        for a, b, c in zip(timeline.equal, timeline.different, timeline.stale, strict=True)
    ]
    titles = [time_text(int(edge)) for edge in edges[:-1]]
    panel = Panel(
        width=_WIDTH,
        height=210,
        margin=(10, 14, 46, 74),
        x=x,
        y=y,
        marks=marks,
        title="by time",
        hover=Hover(x=middle, titles=titles, rows=rows),
    )
    return f'<div class="scroll"><div class="chart wide">{panel.svg()}</div></div>'


def apart(columns: Sequence[ColumnParity]) -> str:
    """Every value by how far both sides lie apart: a row for each column, a dot for each size, its area by how many (logarithm)."""
    height = _TOP + _ROW * len(columns) + 10
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="sizes of differences">']
    for place, name in enumerate(SIZE_NAMES):
        if place in (0, SIZES - 2, SIZES - 1) or (place - 1) % 4 == 0:
            parts.append(f'<text class="tick" x="{_x(place):.1f}" y="30" text-anchor="middle">{_TICKS.get(name, escape(name))}</text>')
    line = _x(_TOLERATED) + _STEP / 2
    parts.append(f'<line class="upright" x1="{line:.1f}" x2="{line:.1f}" y1="36" y2="{height - 8}"/>')
    parts.append(f'<text class="label" x="{line:.1f}" y="12" text-anchor="middle">sums of doubles may differ up to here</text>')
    most = max((int(column.sizes.max(initial=0)) for column in columns), default=1)
    for number, column in enumerate(columns):
        y = _TOP + _ROW * number + _ROW / 2
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="label" x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(column.name)}</text>')
        for place, count in enumerate(column.sizes.tolist()):
            if count:
                forbidden = place > (_TOLERATED if column.rule.allowed else 0)
                radius = 2.5 + 8.0 * math.log1p(count) / math.log1p(most)
                told = f"{column.name}: {count:,} {'equal in every bit' if place == 0 else f'apart by {SIZE_NAMES[place]} or less'}"
                style = "bad" if forbidden else "live"
                parts.append(
                    f'<circle class="dot {style}" cx="{_x(place):.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(told)}</title></circle>'
                )
    return f'<div class="scroll"><div class="chart wide">{"".join(parts)}</svg></div></div>'


def _x(place: int) -> float:
    return _LEFT + _STEP * (place + 0.5)


def _short(ms: float) -> str:
    text = time_text(int(ms))
    return f"{text[5:10]} {text[11:16]}"
