"""Small SVG charts for reports: axes, marks and what the pointer shows; colours come from the page's style sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a chart: its range in data units, its ticks and how they read."""

    low: float
    high: float
    ticks: Sequence[float]
    label: str = ""
    format: Callable[[float], str] = "{:g}".format
    log: bool = False

    def place(self, values: Floats, start_px: float, end_px: float) -> Floats:
        """Pixels of data values, `low` at `start_px` and `high` at `end_px`."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        raw = np.log(np.maximum(values, self.low)) if self.log else np.asarray(values, dtype=np.float64)
        return start_px + (raw - low) / (high - low) * (end_px - start_px)


class Mark(Protocol):
    """Anything drawn inside the axes."""

    def draw(self, x: Callable[[Floats], Floats], y: Callable[[Floats], Floats], floor_px: float) -> str:
        """SVG of the mark; `x` and `y` turn data into pixels, `floor_px` is where the lower edge lies."""
        ...


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points; it breaks at NaN. `style` is a class of the style sheet, `fill` shades the area down to the floor."""

    x: Floats
    y: Floats
    style: str
    step: bool = False
    fill: bool = False
    dots: bool = False

    def draw(self, x: Callable[[Floats], Floats], y: Callable[[Floats], Floats], floor_px: float) -> str:
        """One path for each unbroken run."""
        parts = []
        px, py = x(self.x), y(self.y)
        for run in np.split(np.arange(len(px)), np.flatnonzero(np.isnan(py))):
            run = run[~np.isnan(py[run])]
            if not len(run):
                continue
            path = f"M{px[run[0]]:.1f},{py[run[0]]:.1f}"
            for _, b in pairwise(run):
                path += f"H{px[b]:.1f}V{py[b]:.1f}" if self.step else f"L{px[b]:.1f},{py[b]:.1f}"
            if self.fill:
                parts.append(f'<path class="fill {self.style}" d="{path}V{floor_px:.1f}H{px[run[0]]:.1f}Z"/>')
            parts.append(f'<path class="line {self.style}" d="{path}"/>')
            if self.dots:
                parts += [f'<circle class="dot {self.style}" cx="{px[i]:.1f}" cy="{py[i]:.1f}" r="4"/>' for i in run]
        return "".join(parts)


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Points; `radius` in pixels, one for each."""

    x: Floats
    y: Floats
    style: str
    radius: Floats

    def draw(self, x: Callable[[Floats], Floats], y: Callable[[Floats], Floats], floor_px: float) -> str:
        """A circle for each point that has a value."""
        points = zip(x(self.x), y(self.y), self.radius, strict=True)
        return "".join(
            f'<circle class="dot {self.style}" cx="{a:.1f}" cy="{b:.1f}" r="{r:.1f}"/>' for a, b, r in points if not math.isnan(b)
        )


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars from the floor, between consecutive `edges`."""

    edges: Floats
    heights: Floats
    style: str

    def draw(self, x: Callable[[Floats], Floats], y: Callable[[Floats], Floats], floor_px: float) -> str:
        """A bar with a rounded top for each height above zero."""
        parts = []
        tops = y(self.heights)
        for (left, right), top, height in zip(pairwise(x(self.edges)), tops, self.heights, strict=True):
            if height <= 0:
                continue
            left, width = left + 1, max(right - left - 2, 1)
            r = min(3.0, width / 2, floor_px - top)
            curve = f"M{left:.1f},{floor_px:.1f}V{top + r:.1f}q0,{-r:.1f} {r:.1f},{-r:.1f}h{width - 2 * r:.1f}q{r:.1f},0 {r:.1f},{r:.1f}V{floor_px:.1f}Z"
            parts.append(f'<path class="bar {self.style}" d="{curve}"/>')
        return "".join(parts)


@dataclass(frozen=True, kw_only=True)
class Upright:
    """A vertical line with a word on top."""

    at: float
    text: str

    def draw(self, x: Callable[[Floats], Floats], y: Callable[[Floats], Floats], floor_px: float) -> str:
        """The line over the whole height."""
        px = x(np.array([self.at]))[0]
        return f'<line class="upright" x1="{px:.1f}" x2="{px:.1f}" y1="10" y2="{floor_px:.1f}"/><text class="upright" x="{px + 5:.1f}" y="20">{escape(self.text)}</text>'


@dataclass(frozen=True, kw_only=True)
class Hover:
    """What the pointer shows at each x: a title and `(style, name, value)` rows."""

    x: Floats
    titles: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str, str]]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart: two axes, marks in drawing order, and the pointer's reading."""

    width: int
    height: int
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str
    hover: Hover | None = None
    label_x: bool = True
    margin: tuple[int, int, int, int] = field(default=(10, 14, 44, 52))  # top, right, bottom, left

    def svg(self) -> str:
        """The whole chart, with its hover data beside it."""
        top, right, bottom, left = self.margin
        floor, end = self.height - bottom, self.width - right
        parts = [f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">']
        for tick, py in zip(self.y.ticks, self.y.place(np.array(self.y.ticks, dtype=np.float64), floor, top), strict=True):
            parts.append(f'<line class="grid" x1="{left}" x2="{end}" y1="{py:.1f}" y2="{py:.1f}"/>')
            parts.append(f'<text class="tick" x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{escape(self.y.format(tick))}</text>')
        for tick, px in zip(self.x.ticks, self.x.place(np.array(self.x.ticks, dtype=np.float64), left, end), strict=True):
            parts.append(f'<line class="tick" x1="{px:.1f}" x2="{px:.1f}" y1="{floor}" y2="{floor + 4}"/>')
            if self.label_x:
                parts.append(f'<text class="tick" x="{px:.1f}" y="{floor + 18}" text-anchor="middle">{escape(self.x.format(tick))}</text>')
        parts.append(f'<line class="axis" x1="{left}" x2="{end}" y1="{floor}" y2="{floor}"/>')
        if self.x.label:
            parts.append(
                f'<text class="label" x="{(left + end) / 2:.1f}" y="{self.height - 6}" text-anchor="middle">{escape(self.x.label)}</text>'
            )
        if self.y.label:
            at = (floor + top) / 2
            parts.append(
                f'<text class="label" transform="rotate(-90 12 {at:.1f})" x="12" y="{at + 4:.1f}" text-anchor="middle">{escape(self.y.label)}</text>'
            )
        parts += [mark.draw(lambda v: self.x.place(v, left, end), lambda v: self.y.place(v, floor, top), floor) for mark in self.marks]
        if self.hover is None:
            return "".join(parts) + "</svg>"
        pixels = self.x.place(self.hover.x, left, end)
        data = [[round(float(px), 1), title, rows] for px, title, rows in zip(pixels, self.hover.titles, self.hover.rows, strict=True)]
        parts.append(f'<line class="cross" x1="0" x2="0" y1="{top}" y2="{floor}"/></svg>')
        safe = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
        return "".join(parts) + f'<script type="application/json">{safe}</script>'


def even_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that cover `[low, high]` in about so many steps."""
    step = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(step))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= step * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
