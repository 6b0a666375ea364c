"""A figure as a reader wants it, in the unit that its name ends with."""

from __future__ import annotations

_SIZES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def shown(figure: str, value: float) -> str:
    """With its unit."""
    if figure.endswith("_bytes"):
        unit, size = next((each for each in _SIZES if value >= each[1] / 10), _SIZES[-1])
        return f"{value / size:.{2 if unit == 'GiB' else 1}f} {unit}"
    if figure.endswith("_ratio"):
        return f"{value:.2f} ×"
    if figure.endswith("_per_s"):
        return f"{value:,.0f}"
    if "difference" in figure:
        return f"{value:.1e}" if value else "0"
    if not figure.endswith("seconds"):
        return f"{value:,.1f}"
    return f"{value:,.1f} s" if value >= 0.9995 else f"{value * 1000:.3g} ms"
