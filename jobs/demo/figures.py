"""The four figures of the demo's report: an airport's day, ROC, calibration, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from inference.model.evaluation import auc
from jobs.demo.curves import calibration, roc
from jobs.report.chart import Axis, Bars, Dots, Floats, Hover, Line, Mark, Panel, Upright, even_ticks

ZONE = "America/New_York"
HALF_HOUR = "30min"
NAMES = {"score": ("live", "with live features"), "static_score": ("static", "without")}


@dataclass(frozen=True, kw_only=True)
class AirportDay:
    """One origin on one local day.

    Attributes:
        origin: The airport.
        day: Midnight of the day, local.
        rows: Its requests in time order, with `local`, the local time of the request.
    """

    origin: str
    day: pd.Timestamp
    rows: pd.DataFrame


def stormiest_day(scored: pd.DataFrame) -> AirportDay:
    """The origin and local day on which the model feared the most, among those with a full day of requests."""
    local = scored["event_time"].dt.tz_convert(ZONE)
    rows = scored.assign(local=local, day=local.dt.normalize()).sort_values("local")
    groups = rows.groupby(["origin", "day"])["score"].agg(["mean", "size"])
    full = groups[groups["size"] >= groups["size"].max() / 2]
    origin, day = full["mean"].idxmax()
    return AirportDay(origin=origin, day=day, rows=rows[(rows["origin"] == origin) & (rows["day"] == day)])


def airport_day(day: AirportDay) -> str:
    """Three panels over one day: traffic, delay, and what the model said beside what happened."""
    hours = (day.rows["local"] - day.day).dt.total_seconds().to_numpy() / 3600
    low, high = np.floor(hours.min()), np.ceil(hours.max())
    clock = Axis(low=low, high=high, ticks=[float(h) for h in np.arange(low, high + 1, 2)], format=_clock)
    panels = [
        (
            "Departures in the last hour",
            "counted as they happened",
            _feature_panel(day, hours, clock, "origin_departures_1h", "volume", "departures", "{:.0f}"),
        ),
        (
            "Mean departure delay of the last hour",
            "minutes",
            _feature_panel(day, hours, clock, "origin_dep_delay_mean_1h", "delay", "mean delay", "{:.0f} min"),
        ),
        ("Chance of arriving more than 15 minutes late", "half-hour means of all requests", _outcome_panel(day, hours, clock)),
    ]
    parts = [f"<h3>{title} <small>· {unit}</small></h3>{panel.svg()}" for title, unit, panel in panels]
    return f'<div class="scroll"><div class="chart wide">{"".join(parts)}</div></div>'


def _feature_panel(day: AirportDay, hours: Floats, clock: Axis, column: str, style: str, name: str, shown: str) -> Panel:
    values = day.rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    top = float(np.nanmax(values, initial=1.0))
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    return Panel(
        width=1060,
        height=128,
        margin=(8, 10, 10, 46),
        x=clock,
        y=Axis(low=low, high=top * 1.06, ticks=even_ticks(low, top * 1.06, 3)),
        marks=[Line(x=hours, y=values, style=style, step=True, fill=low == 0.0)],
        title=f"{name} at {day.origin}",
        hover=_hover(hours, [_clock(hour) for hour in hours], [(style, name, _each(values, shown))]),
        label_x=False,
    )


def _outcome_panel(day: AirportDay, hours: Floats, clock: Axis) -> Panel:
    grouped = day.rows.groupby(day.rows["local"].dt.floor(HALF_HOUR))
    middle = (np.array([(start - day.day).total_seconds() for start in grouped.groups]) / 3600) + 0.25
    said = {column: grouped[column].mean().to_numpy(dtype=np.float64) for column in NAMES}
    happened = grouped["happened"].mean().to_numpy(dtype=np.float64, na_value=np.nan)
    size = grouped["happened"].count().to_numpy()
    marks: list[Mark] = [Line(x=middle, y=said[column], style=style) for column, (style, _) in reversed(NAMES.items())]
    marks.append(Dots(x=middle, y=happened, style="actual", radius=np.clip(2.6 + np.sqrt(size) * 0.6, 3, 7)))
    rows = [
        ("actual", "happened", _each(happened, "{:.0%}")),
        *((style, name, _each(said[column], "{:.0%}")) for column, (style, name) in NAMES.items()),
    ]
    titles = [f"{_clock(m - 0.25)} to {_clock(m + 0.25)}" for m in middle]
    return Panel(
        width=1060,
        height=232,
        margin=(10, 10, 42, 46),
        x=Axis(
            low=clock.low,
            high=clock.high,
            ticks=clock.ticks,
            format=_clock,
            label="time of the request, local; the flight leaves 30 minutes later",
        ),
        y=Axis(low=0, high=1, ticks=[0, 0.25, 0.5, 0.75, 1], format="{:.0%}".format),
        marks=marks,
        title=f"predicted and actual share of late flights from {day.origin}",
        hover=_hover(middle, titles, rows),
    )


def roc_figure(scored: pd.DataFrame) -> str:
    """True against false positive rate of both models."""
    known = scored.dropna(subset=["happened"])
    labels = known["happened"].to_numpy(dtype=bool)
    marks: list[Mark] = [Line(x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]), style="chance")]
    grid = np.linspace(0, 1, 101)
    rows = []
    for column, (style, name) in reversed(NAMES.items()):
        scores = known[column].to_numpy(dtype=np.float64)
        false, true = roc(labels, scores)
        at = np.interp(grid, false, true)
        marks.append(Line(x=grid, y=at, style=style))
        rows.append((style, f"{name} (AUC {auc(labels, scores):.3f})", _each(at, "{:.0%}")))
    share = Axis(low=0, high=1, ticks=[0, 0.25, 0.5, 0.75, 1], format="{:.0%}".format, label="flights on time that were flagged")
    hover = _hover(grid, [f"{each:.0%} of the punctual flagged: share of the late ones found" for each in grid], rows[::-1])
    found = Axis(low=0, high=1, ticks=share.ticks, format=share.format, label="late flights found")
    return _figure(Panel(width=500, height=380, margin=(10, 14, 46, 62), x=share, y=found, marks=marks, title="ROC curve", hover=hover))


def calibration_figure(scored: pd.DataFrame) -> str:
    """How often it happened against how likely it was called, in tenths of the requests."""
    known = scored.dropna(subset=["happened"])
    labels = known["happened"].to_numpy(dtype=bool)
    said, happened = calibration(labels, known["score"].to_numpy(dtype=np.float64))
    static_said, static_happened = calibration(labels, known["static_score"].to_numpy(dtype=np.float64))
    top = float(np.ceil(max(said.max(), happened.max(), static_happened.max()) * 10) / 10)
    marks: list[Mark] = [
        Line(x=np.array([0.0, top]), y=np.array([0.0, top]), style="chance"),
        Line(x=static_said, y=static_happened, style="static", dots=True),
        Line(x=said, y=happened, style="live", dots=True),
    ]
    ticks = even_ticks(0, top, 5)
    called = Axis(low=0, high=top, ticks=ticks, format="{:.0%}".format, label="chance that was given")
    late = Axis(low=0, high=top, ticks=ticks, format="{:.0%}".format, label="share that was late")
    hover = _hover(
        said,
        [f"tenth {i + 1} of 10" for i in range(len(said))],
        [("live", "given", _each(said, "{:.1%}")), ("live", "happened", _each(happened, "{:.1%}"))],
    )
    return _figure(Panel(width=500, height=380, margin=(10, 14, 46, 62), x=called, y=late, marks=marks, title="calibration", hover=hover))


def latency_figure(latency_ms: Floats) -> str:
    """How long a request waited for its prediction, on a logarithmic scale."""
    low, high = max(float(latency_ms.min()) * 0.9, 1.0), float(latency_ms.max()) * 1.1
    edges = np.geomspace(low, high, 61)
    counts, _ = np.histogram(latency_ms, edges)
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000) if low <= t <= high]
    marks: list[Mark] = [Bars(edges=edges, heights=counts.astype(np.float64), style="live")]
    marks += [Upright(at=float(np.percentile(latency_ms, q)), text=f"p{q}") for q in (50, 99)]
    rows = [("live", "requests", [f"{count:,}" for count in counts])]
    titles = [f"{_milliseconds(a)} to {_milliseconds(b)}" for a, b in pairwise(edges)]
    return _figure(
        Panel(
            width=1060,
            height=230,
            margin=(26, 14, 46, 62),
            x=Axis(low=low, high=high, ticks=ticks, format=_milliseconds, label="request published → prediction read", log=True),
            y=Axis(
                low=0,
                high=float(counts.max()) * 1.05,
                ticks=even_ticks(0, float(counts.max()) * 1.05, 4),
                format="{:,.0f}".format,
                label="requests",
            ),
            marks=marks,
            title="latency",
            hover=_hover(np.sqrt(edges[:-1] * edges[1:]), titles, rows),
        )
    )


def _figure(panel: Panel) -> str:
    """A wide one scrolls where the page is narrow."""
    wide = panel.width > 600
    return f'<div class="scroll"><div class="chart wide">{panel.svg()}</div></div>' if wide else f'<div class="chart">{panel.svg()}</div>'


def _hover(x: Floats, titles: Sequence[str], rows: Sequence[tuple[str, str, Sequence[str]]]) -> Hover:
    return Hover(x=x, titles=titles, rows=[[(style, name, values[i]) for style, name, values in rows] for i in range(len(x))])


def _each(values: Floats, shown: str) -> list[str]:
    return ["none" if np.isnan(value) else shown.format(value) for value in values]


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.0f} ms"
