"""A figure as a reader wants it, in the unit that its name ends with."""

from __future__ import annotations


def shown(figure: str, value: float) -> str:
    """With its unit."""
    if figure.endswith("_bytes"):
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 / 10 else f"{value / 2**20:.1f} MiB"
    if figure.endswith("_per_s"):
        return f"{value:,.0f}"
    if "difference" in figure:
        return f"{value:.1e}" if value else "0"
    if not figure.endswith("seconds"):
        return f"{value:,.1f}"
    return f"{value:,.1f} s" if value >= 0.9995 else f"{value * 1000:.3g} ms"
